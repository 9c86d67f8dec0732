"""Suggested questions from held-out rows, with their reference answers, and the invitation on an empty board."""

import functools
import random

import gradio as gr

from components.chat_board import invitation_html
from core.data import sources, subset
from core.data.table import HELD_OUT
from core.errors import StudioError
from core.models import embedded
from core.runs import example
from studio.chat.model_picker import ModelPicker
from studio.chat.view import Updates

_SUGGESTIONS = 4
# Number of suggestions on the empty board; the others are in the list below the prompt.
_SUGGESTIONS_ON_BOARD = 3
_LABEL_CHARACTERS = 90
_CACHED_SUBSETS, _CACHED_QUESTIONS = 8, 500
# Question and answer together: the page keeps all that it shows, within `check_state_size`.
MAX_SUGGESTED_CHARACTERS = 10_000
_INVITATION = (
    "All models answer the same question side by side; then you vote for the better answer or ask another question. "
    "Click a question to ask it now, or write your own below."
)
# The example is offered before anything was trained, to people who do not know what it was trained on.
_ABOUT_EXAMPLE = (
    "The example was fine-tuned on the voice of a lighthouse keeper; its base model is the same model without that "
    "training. "
)
_LOADING_NOTE = "The first question also loads the model, so its answers take longer to begin."
_CONVERTING_NOTE = "The first question also prepares the embedded model, once, so its answers take longer to begin."


class Suggestions:
    """Event handlers that offer questions."""

    def __init__(self, picker: ModelPicker):
        self.picker, self.settings = picker, picker.conversations.settings
        # Each opened chat asks for some, so a subset is read once.
        self._questions = functools.lru_cache(maxsize=_CACHED_SUBSETS)(self._read_questions)

    def suggest(self, chat_id: str) -> Updates:
        """Offer random questions from the held-out rows of a lane's run, or of the bundled data if no lane has one.

        Returns:
            `suggestions`: the list to click; `suggested`: pairs of question and reference answer, in its order;
            `suggested_for`: the run that they are about; `invitation`: HTML of the empty board.
        """
        run = self.picker.first_run(chat_id)
        found = self.held_out_questions(run.config().subset if run else sources.BUNDLED)
        chosen = random.sample(found, min(_SUGGESTIONS, len(found)))
        labels = [_shorten(question) for question, _ in chosen]
        invitation = (_ABOUT_EXAMPLE if run and example.is_example(run.id) else "") + _INVITATION
        return {
            "suggestions": gr.Dataset(samples=[[label] for label in labels], visible=bool(chosen)),
            "suggested": [list(pair) for pair in chosen],
            "suggested_for": run.id if run else "",
            "invitation": invitation_html(invitation, labels[:_SUGGESTIONS_ON_BOARD], self._loading_note(chat_id)),
        }

    def follow(self, chat_id: str, suggested_for: str) -> Updates:
        """Offer other questions if the lanes have a run of other data now.

        Args:
            chat_id: The conversation; empty before the page has opened one.
            suggested_for: The run that the present questions are about.
        """
        if not chat_id:
            return {}
        run = self.picker.first_run(chat_id)
        return {} if (run.id if run else "") == suggested_for else self.suggest(chat_id)

    def _loading_note(self, chat_id: str) -> str:
        """Return why the first answer takes longer than the others; empty once the model is loaded."""
        base = self.picker.conversations.find(chat_id).base_identity
        if base and base == self.picker.engine.loaded:
            return ""
        is_unprepared = base and base.model == embedded.NAME and not embedded.is_prepared(self.settings)
        return _CONVERTING_NOTE if is_unprepared else _LOADING_NOTE

    def held_out_questions(self, subset_name: str) -> list[tuple[str, str]]:
        """Return question and answer of the held-out rows that begin with both, within `MAX_SUGGESTED_CHARACTERS`."""
        try:
            # Also checks that the caller may see the subset.
            found = subset.find(self.settings, subset_name)
            return self._questions(found.name, found.model_dump_json())
        except StudioError:
            # The run's subset was deleted since, so there is nothing to suggest.
            return []

    def _read_questions(self, name: str, _version: str) -> list[tuple[str, str]]:
        """Return the questions of one subset; another subset of the same name has another description."""
        rows = subset.load(self.settings, name)[HELD_OUT]
        found = [
            (messages[0]["content"], messages[1]["content"])
            for _, messages in rows
            if [message["role"] for message in messages[:2]] == ["user", "assistant"]
            and sum(len(message["content"]) for message in messages[:2]) <= MAX_SUGGESTED_CHARACTERS
        ]
        # Many questions would take memory, so a random choice of them is kept.
        return random.sample(found, _CACHED_QUESTIONS) if len(found) > _CACHED_QUESTIONS else found


def _shorten(question: str) -> str:
    return question if len(question) <= _LABEL_CHARACTERS else f"{question[:_LABEL_CHARACTERS]}…"
