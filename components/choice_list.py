"""A list of names, each with a choice among the same options, and one button that applies all changes at once.

A `gr.HTML` with the event `choose`, whose `gr.EventData` has the attribute `value`: a JSON object of name to option.
Only changed choices are in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr
from markupsafe import Markup

from components.html import read_static, render

CSS = read_static("choice_list.css")


@dataclass(frozen=True)
class Choice:
    """One name with its current option.

    Attributes:
        name: Identifies the choice in the event.
        note: A few words behind the name.
        value: The option that is chosen now.
        warn: Whether it is highlighted, because a choice is wanted.
    """

    name: str
    note: str
    value: str
    warn: bool = False


def build_choice_list(elem_id: str) -> gr.HTML:
    """Return the empty list; listen to `.choose`."""
    return gr.HTML("", js_on_load=read_static("choice_list.js"), elem_id=elem_id, padding=False)


def choices_html(
    title: str, choices: Sequence[Choice], options: Sequence[tuple[str, str]], help_text: str = ""
) -> Markup:
    """Return the list as HTML; every text in it is escaped.

    Args:
        title: Above the list.
        choices: The names, in order.
        options: (label, value) pairs.
        help_text: What the options mean, behind the list.
    """
    return render(
        "choice_list",
        title=title,
        choices=choices,
        options=options,
        help_text=help_text,
        is_warning=any(choice.warn for choice in choices),
    )
