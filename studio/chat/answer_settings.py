"""The form of sampling settings: for all lanes, or for one lane, which then overrides those of all."""

from typing import Any

from pydantic import ValidationError

from core.chat.conversation import Conversation
from core.chat.sampling import Sampling
from core.errors import StudioError, sentences
from studio.chat.conversations import Conversations
from studio.chat.view import Updates
from studio.event_values import parse_index

_LANE_PREFIX = "Model "


class AnswerSettings:
    """Event handlers of the settings form."""

    def __init__(self, conversations: Conversations):
        self.conversations = conversations

    def save(self, chat_id: str, scope: str, values: dict[str, Any]) -> None:
        """Save the form's values for a scope.

        Args:
            chat_id: The conversation.
            scope: "All models" or "Model N".
            values: Every field of `Sampling`.

        Raises:
            StudioError: A value is missing or out of bounds.
        """
        given = parse_sampling(values).model_dump()
        with self.conversations.change(chat_id) as chat:
            if (lane := _lane_index(scope, chat)) is None:
                chat.settings = given
            else:
                # Only differences belong to the lane, so that it follows later changes of the shared settings.
                shared = Sampling(**chat.settings).model_dump()
                chat.are_lanes_chosen = True
                chat.lanes[lane].own = {name: value for name, value in given.items() if value != shared[name]}

    def show(self, chat_id: str, scope: str) -> Updates:
        """Return the form's values for a scope, by the names of `Sampling`."""
        chat = self.conversations.find(chat_id)
        lane = _lane_index(scope, chat)
        sampling = Sampling(**chat.settings) if lane is None else chat.sampling(lane)
        return sampling.model_dump()

    def switch_scope(self, chat_id: str, form_scope: str, scope: str, **values: Any) -> Updates:
        """Save the form for the scope that it shows, then show another."""
        self.save(chat_id, form_scope, values)
        return {"form_scope": scope} | self.show(chat_id, scope)


def parse_sampling(values: dict[str, Any]) -> Sampling:
    """Return the settings that a form gives.

    Raises:
        StudioError: A setting is wrong. The error names each and where its field is, because the form may be hidden.
    """
    titles = {name: f"{field.title} (under Settings)" for name, field in Sampling.model_fields.items()}
    if empty := [titles[name] for name, value in values.items() if value is None]:
        raise StudioError(f"{empty[0]} is empty. Enter a value.")
    try:
        return Sampling(**values)
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: titles.get(name, name))) from error


def _lane_index(scope: str, chat: Conversation) -> int | None:
    """Return the lane of a scope; None for all lanes, and for a lane that was removed since."""
    number = scope.removeprefix(_LANE_PREFIX) if scope.startswith(_LANE_PREFIX) else ""
    index = parse_index(number) or 0
    return index - 1 if 0 < index <= len(chat.lanes) else None
