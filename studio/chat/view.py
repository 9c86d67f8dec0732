"""Updates of the conversation's widgets, by the names of `layout.ChatWidgets.view_outputs`."""

from typing import Any

import gradio as gr

# Result of a handler: the new values of outputs by their names.
Updates = dict[str, Any]


def view_updates(
    past: str | None = None,
    now: str | None = None,
    prompt: str | None = None,
    hint: str | None = None,
    busy: bool | None = None,
    is_stopping: bool = False,
    editing: int | None = None,
) -> Updates:
    """Return the updates for those arguments that are given; every other widget stays as it is.

    Args:
        past: HTML of all turns but the last.
        now: HTML of the last turn.
        prompt: Text of the prompt box.
        hint: Markdown above the prompt box.
        busy: Whether an answer is being written, which decides the buttons that can be pressed.
        is_stopping: Whether all answers being written were stopped.
        editing: Index of the turn that Send replaces; -1 if Send adds one.
    """
    values = {"past": past, "now": now, "prompt": prompt, "hint": hint, "editing": editing}
    updates: Updates = {name: value for name, value in values.items() if value is not None}
    return updates if busy is None else updates | button_updates(busy, is_stopping)


def button_updates(busy: bool, is_stopping: bool = False) -> Updates:
    """Return the state of the buttons: while an answer is written, Stop replaces Send."""
    return {
        "stop_button": gr.update(
            visible=busy, interactive=busy and not is_stopping, value="Stopping…" if is_stopping else "Stop"
        ),
        "send_button": gr.update(visible=not busy, interactive=not busy),
        "retry_button": gr.update(interactive=not busy),
        "undo_button": gr.update(interactive=not busy),
    }
