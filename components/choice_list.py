"""A list of named things, each with a choice among the same options, and one button that applies all changes at once.

A `gr.HTML` with the event `choose`. Its `gr.EventData` has the attribute `value`: a JSON object of name to option.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

_JS = """
const changed = () => [...element.querySelectorAll('select')].filter(at => at.value !== at.dataset.value);
element.addEventListener('change', event => {
  if (!event.target.matches('select')) return;
  element.querySelector('.cl-apply').disabled = changed().length === 0;
});
element.addEventListener('click', event => {
  if (!event.target.closest('.cl-apply')) return;
  trigger('choose', {value: JSON.stringify(Object.fromEntries(changed().map(at => [at.dataset.name, at.value])))});
});
"""

CSS = """
.cl { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 10px; font-size: 13px; margin: 2px 0; }
.cl > b { font-weight: 650; } .cl > b.warn { color: var(--qs-warn); }
.cl-item { display: inline-flex; align-items: center; gap: 6px; max-width: 100%; padding: 2px 3px 2px 10px;
  border: 1px solid var(--border-color-primary); border-radius: 999px; background: var(--background-fill-secondary); }
.cl-item.warn { border-color: var(--qs-warn); }
.cl-item > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 240px; }
.cl-item > small, .cl > small { color: var(--body-text-color-subdued); font-size: 12px; white-space: nowrap; }
.cl > small { white-space: normal; }
.cl .cl-item > select { font: inherit; color: var(--body-text-color); border-radius: 999px; height: 26px;
  background-color: var(--background-fill-primary) !important; border: 1px solid var(--border-color-primary);
  padding: 1px 24px 1px 10px; background-position: right 5px center; cursor: pointer; }
.cl-apply { all: unset; cursor: pointer; border-radius: 999px; padding: 2px 14px; font-weight: 600; color: #fff;
  background: #0f766e; }
.cl-apply:disabled { display: none; }
.cl-apply:focus-visible, .cl-item > select:focus-visible { outline: 2px solid #0f9488; outline-offset: 2px; }
@media (max-width: 640px) {
  .cl > b, .cl > small { flex: 1 1 100%; }
  .cl-item { flex: 1 1 100%; } .cl-item > span { flex: 1 1 auto; max-width: none; }
  .cl .cl-item > select { height: 32px; } .cl-apply { padding: 7px 18px; }
}
"""


@dataclass(frozen=True)
class Choice:
    """One thing to choose for.

    Attributes:
        note: a few words behind the name.
        value: the option that is chosen now.
        warn: whether it stands out, because a choice is wanted.
    """

    name: str
    note: str
    value: str
    warn: bool = False


def build_choice_list(elem_id: str) -> gr.HTML:
    """Return the empty list; listen to `.choose`."""
    return gr.HTML("", js_on_load=_JS, elem_id=elem_id, padding=False)


def choices_html(title: str, choices: Sequence[Choice], options: Sequence[tuple[str, str]], help_text: str = "") -> str:
    """Return the list as HTML; every text in it is escaped.

    Args:
        options: (label, value) pairs.
        help_text: what the options mean, behind the list.
    """
    items = "".join(_item(choice, options) for choice in choices)
    warns = ' class="warn"' if any(choice.warn for choice in choices) else ""
    return (
        f'<div class="cl"><b{warns}>{html.escape(title)}</b>{items}'
        f'<button class="cl-apply" disabled>Apply</button>'
        + (f"<small>{html.escape(help_text)}</small>" if help_text else "")
        + "</div>"
    )


def _item(choice: Choice, options: Sequence[tuple[str, str]]) -> str:
    name = html.escape(choice.name, quote=True)
    listed = "".join(
        f'<option value="{html.escape(value, quote=True)}"{" selected" if value == choice.value else ""}>'
        f"{html.escape(label)}</option>"
        for label, value in options
    )
    return (
        f'<div class="cl-item{" warn" if choice.warn else ""}"><span title="{name}" dir="auto">{name}</span>'
        f"<small>{html.escape(choice.note)}</small>"
        f'<select aria-label="Use of {name}" data-name="{name}" data-value="{html.escape(choice.value, quote=True)}">'
        f"{listed}</select></div>"
    )
