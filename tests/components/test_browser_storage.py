"""A text in the browser's local storage."""

import gradio as gr

from components.browser_storage import build_stored_text


def test_build_stored_text_writes_at_every_change_and_quotes_the_key():
    with gr.Blocks() as demo:
        stored = build_stored_text('it\'s a "key"', "stored")
    (function,) = demo.fns.values()
    assert function.targets == [(stored.text._id, "change")]
    assert 'localStorage.setItem("it\'s a \\"key\\"", text)' in function.js
    assert 'localStorage.getItem("it\'s a \\"key\\"")' in stored.read
