"""Training rows that resemble an answer most, as a table whose rows open in the Data tab."""

from typing import Any

from core.data import subset
from core.errors import StudioError
from studio.chat.conversations import Conversations
from studio.chat.view import Updates
from studio.source_rows import nearest_rows_html, row_to_open, source_of


class NearestRows:
    """Event handlers of the drawer "Training rows like this answer"."""

    def __init__(self, conversations: Conversations):
        self.conversations, self.settings = conversations, conversations.settings
        self.store = conversations.engine.store

    def search(self, chat_id: str, turn: int, lane: int) -> Updates:
        """Find the training rows nearest to the answer that a lane gave in a turn.

        Returns:
            `nearest_rows`: the table; `rows_source`: the dataset that its rows are in.
        """
        chat = self.conversations.find(chat_id)
        exists = 0 <= turn < len(chat.turns) and 0 <= lane < len(chat.lanes)
        answer = chat.turns[turn].shown(lane) if exists else None
        # In a blind turn the rows would give away which lane is the tuned one.
        if answer is None or not answer.run or chat.turns[turn].hidden:
            raise StudioError("Only an answer of a tuned model has training rows. Choose one whose name is shown.")
        known = subset.find(self.settings, self.store.run(answer.run).config().subset)
        title = self.store.titles().get(answer.run, answer.run)
        shown = nearest_rows_html(self.settings, known, title, answer.text, "Click one to open it.")
        return {"nearest_rows": shown, "rows_source": source_of(known)}

    def open_row(self, rows_source: dict | None, row: int) -> dict[str, Any]:
        """Return the row that the Data tab should open: its dataset, how that is read, and the row's number."""
        if not rows_source:
            raise StudioError("No answer was chosen yet. Press “Similar training rows” under an answer first.")
        return row_to_open(self.settings, rows_source, row)
