"""Training rows that resemble an answer most, as a table whose rows open in the Data tab."""

import time
from typing import Any

from markupsafe import Markup

from components.data_table import TableColumn, TablePage, TableRow, table_html
from core.chat import nearest
from core.data import subset, table
from core.errors import StudioError
from studio.chat.conversations import Conversations
from studio.chat.view import Updates
from studio.html import render

_COLUMNS = [
    TableColumn("row", "Row", numeric=True),
    TableColumn("score", "Match", numeric=True),
    TableColumn("question", "Question", wide=True),
    TableColumn("answer", "Trained on", wide=True),
]


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
        rows = [
            TableRow(row.row, [f"{row.row:,}", f"{row.score:.1f}", row.prompt, row.answer])
            for row in nearest.nearest(self.settings, known.name, answer.text)
        ]
        title = self.store.titles().get(answer.run, answer.run)
        note = (
            f"The rows of {known.name}, which {title} was trained on, that have the largest number of rare words in "
            "common with this answer."
        )
        empty = "No training row has a word in common with this answer."
        found = Markup(table_html(TablePage(_COLUMNS, rows, plain=True, empty=empty)))
        return {
            "nearest_rows": render("chat/nearest_rows", note=note, method=nearest.METHOD, table=found),
            # Not the whole recipe: it may list thousands of rows, and the page keeps this.
            "rows_source": known.recipe.model_dump(include={"dataset", "reading"}),
        }

    def open_row(self, rows_source: dict | None, row: int) -> dict[str, Any]:
        """Return the row that the Data tab should open: its dataset, how that is read, and the row's number."""
        if not rows_source:
            raise StudioError("No answer was chosen yet. Press “Similar training rows” under an answer first.")
        dataset = table.find(self.settings, rows_source["dataset"])
        # The time makes a second click on the same row a change, which the Data tab reacts to.
        return {"dataset": dataset.id, "reading": rows_source.get("reading"), "row": int(row), "at": time.monotonic()}
