"""A text that the browser keeps from one visit to the next.

Gradio's BrowserState is read only after the page's load events have been sent (6.31), so that what they are given is
its default. Here the load event itself reads what was kept.
"""

import json
from dataclasses import dataclass

import gradio as gr

# A browser that denies storage to a framed page raises an error at every access.
_WRITE = "text => { try { if (text) localStorage.setItem(%s, text); } catch { /* nothing is remembered */ } }"
_READ = "() => { try { return localStorage.getItem(%s) || ''; } catch { return ''; } }"


@dataclass(frozen=True)
class Remembered:
    """Attributes:
    text: out of sight; what is written to it is kept.
    read: the `js` of an event with `text` as its only input, which then has what was kept.
    """

    text: gr.Textbox
    read: str


def build_remembered(key: str, elem_id: str) -> Remembered:
    """
    Args:
        key: its name in the browser's local storage.
    """
    text = gr.Textbox(visible="hidden", elem_id=elem_id, label=key)
    name = json.dumps(key)
    text.change(None, text, None, js=_WRITE % name)
    return Remembered(text, _READ % name)
