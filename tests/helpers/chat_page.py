"""Calls of the Chat tab's event handlers as one page makes them."""

import gradio as gr

from studio.chat.parts import ChatParts

# Handlers tell pages apart by the session hash.
PAGE = gr.Request(session_hash="a-page")
ANOTHER_PAGE = gr.Request(session_hash="another-page")


def start_sending(
    parts: ChatParts, chat_id: str, prompt: str = "Name a color.", reference: str = "", editing: int = -1
):
    """Return the stream of updates that a question gives."""
    return parts.actions.send(chat_id, prompt, reference, editing, [], PAGE)


def send(parts: ChatParts, chat_id: str, prompt: str = "Name a color.", reference: str = "", editing: int = -1):
    """Ask a question and return all updates."""
    return list(start_sending(parts, chat_id, prompt, reference, editing))


def read_until_all_lanes_write(parts: ChatParts, chat_id: str, stream) -> None:
    """Read a stream of updates until every lane has written a token."""
    for _ in stream:
        entry = parts.conversations.in_progress(chat_id).entry
        if entry and entry.generations and all(generation.tokens for generation in entry.generations):
            return
