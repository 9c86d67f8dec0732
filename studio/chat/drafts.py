"""Visitors' conversations without an answer, kept in memory: opening pages must not fill the disk."""

import threading

from core.access.fair_share import surplus
from core.chat.conversation import Conversation
from core.errors import StudioError
from core.system.sizes import format_size

# A page has one, and a visitor may have some tabs open. Most take about 1 KB; long system prompts take more.
_MAX_OF_A_VISITOR = 10
_MAX_BYTES, _MAX_BYTES_OF_ALL = 2**17, 2**26


class Drafts:
    """Conversations by their ids, as JSON in UTF-8, so that a change counts only once it is saved.

    They are lost when the studio ends; a page that is loaded then opens another one.
    """

    def __init__(self):
        # In the order in which they were saved last.
        self._texts: dict[str, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def find(self, chat_id: str) -> Conversation | None:
        """Return a draft; None if there is none with this id."""
        text = self._texts.get(chat_id)
        return Conversation.model_validate_json(text) if text else None

    def save(self, chat: Conversation) -> None:
        """Keep a draft as the newest, and drop the oldest of its visitor, or of those with most, beyond the limits.

        Raises:
            StudioError: It is too large.
        """
        text = chat.model_dump_json().encode()
        if len(text) > _MAX_BYTES:
            raise StudioError(
                f"A chat without an answer takes {format_size(len(text))}, settings included, and a visitor's may "
                f"take {format_size(_MAX_BYTES)}. Shorten the question or the system prompts."
            )
        with self._lock:
            self._remove(chat.id)
            self._texts[chat.id] = text
            self._bytes += len(text)
            owner = _owner_of(chat.id)
            for old in [one for one in self._texts if _owner_of(one) == owner][:-_MAX_OF_A_VISITOR]:
                self._remove(old)
            if self._bytes > _MAX_BYTES_OF_ALL:
                ages = {one: age for age, one in enumerate(self._texts)}
                # A tenth at a time, because each search looks at all drafts.
                for old in surplus(ages, _owner_of, ages.__getitem__, _MAX_OF_A_VISITOR, len(ages) * 9 // 10):
                    self._remove(old)

    def remove(self, chat_id: str) -> bool:
        """Remove a draft, and return whether there was one."""
        with self._lock:
            return self._remove(chat_id)

    def _remove(self, chat_id: str) -> bool:
        text = self._texts.pop(chat_id, None)
        self._bytes -= len(text or b"")
        return text is not None


def _owner_of(chat_id: str) -> str:
    return chat_id.partition("-")[2]
