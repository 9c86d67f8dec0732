"""Files of a conversation to download: every answer as JSONL, or the shown ones as Markdown."""

from collections.abc import Callable

from core.access import roles
from core.chat import transcript
from core.chat.conversation import Conversation
from core.errors import StudioError
from core.settings import slug
from studio.chat.conversations import Conversations

_NAME_CHARACTERS = 40


class ChatExport:
    """Event handlers that write a conversation to a file; they return its path."""

    def __init__(self, conversations: Conversations):
        self.conversations, self.settings = conversations, conversations.settings

    def as_jsonl(self, chat_id: str) -> str:
        """Write one line per answer, earlier attempts included."""
        return self._write(chat_id, "jsonl", transcript.as_jsonl)

    def as_markdown(self, chat_id: str) -> str:
        """Write the questions and the answers that are shown."""
        return self._write(chat_id, "md", transcript.as_markdown)

    def _write(self, chat_id: str, suffix: str, convert: Callable[[Conversation], str]) -> str:
        chat = self.conversations.find(chat_id)
        if not chat.turns:
            raise StudioError("Nothing was asked yet, so there is nothing to export. Ask a question first.")
        # Titles repeat; the beginning of the id keeps two conversations from overwriting each other's file.
        name = f"chat-{slug(chat.title(), 'chat')[:_NAME_CHARACTERS]}-{chat.id[:6]}.{suffix}"
        path = roles.exports(self.settings) / name
        path.write_text(convert(chat), encoding="utf-8")
        return str(path)
