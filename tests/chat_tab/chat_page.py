"""A page, as a handler of the tab is told of it."""

import gradio as gr

PAGE = gr.Request(session_hash="a-page")
