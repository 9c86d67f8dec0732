"""A page, as a handler of the tab is told of it, and what it asks."""

import gradio as gr

PAGE = gr.Request(session_hash="a-page")


def send(do, chat_id, prompt="Name a colour.", reference="", editing=-1):
    return list(do.talking.send(chat_id, prompt, reference, editing, [], PAGE))


def writing(do, chat_id, stream):
    """Go on with a stream until every lane has written something."""
    for _ in stream:
        live = do.talking._live[chat_id]
        if live.ticket and live.ticket.generations and all(answer.tokens for answer in live.ticket.generations):
            return
