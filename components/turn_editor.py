"""An editor of the turns of one conversation: roles, texts, and whether an answer is trained on.

A `gr.HTML` with the events `save_turns` and `cancel_turns`. The first one's `gr.EventData` has the attribute `value`:
an object with `row` (what the caller passed) and `turns`, a list of objects with `role`, `content` and, of an answer
that is not trained on, `loss`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from components.html import read_static, render


def build_turn_editor(elem_id: str) -> gr.HTML:
    """Return the empty editor; listen to `.save_turns` and `.cancel_turns`."""
    return gr.HTML("", js_on_load=read_static("turn_editor.js"), elem_id=elem_id, padding=False)


def turn_editor_html(title: str, row: str, turns: Sequence[Mapping[str, Any]], roles: Sequence[str]) -> Markup:
    """Return the editor as HTML; every text in it is escaped.

    Args:
        title: Above the turns.
        row: Sent back with the turns.
        turns: With `role` and `content`, and `loss` if it is False.
        roles: What a turn can be.
    """
    return render("turn_editor", title=title, row=row, turns=turns, roles=roles)
