"""A table of one page of rows, drawn on the server: histograms above the columns, rows to open and to tick.

A `gr.HTML` with events of its own. What a click means comes back as `gr.EventData` with the attribute `value`: the
column to sort by, the key of a row, or whatever the caller put into a bar.
"""

import html
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

# Clicks and keys anywhere in the table, told by the nearest element that says what it stands for.
_JS = """
const events = ['sort_by', 'pick_bar', 'drop_filter', 'open_row', 'tick_row'];
function tell(from) {
  const at = from.closest('[data-event]');
  if (!at || !element.contains(at) || !events.includes(at.dataset.event)) return;
  if (at.dataset.event === 'open_row') {
    element.querySelectorAll('tr.open').forEach(row => row.classList.remove('open'));
    at.classList.add('open');
    const detail = document.getElementById(props.detail);
    if (detail && detail.getBoundingClientRect().top > innerHeight * 0.8)
      detail.scrollIntoView({block: 'center', behavior: 'smooth'});
  }
  trigger(at.dataset.event, {value: at.dataset.value});
}
element.addEventListener('click', event => tell(event.target));
element.addEventListener('keydown', event => {
  const at = event.target;
  if (event.key === 'Enter' && at.matches('tr[data-event]')) { event.preventDefault(); tell(at); }
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (step && at.matches('.dt-bar')) {
    const next = step > 0 ? at.nextElementSibling : at.previousElementSibling;
    if (next) { event.preventDefault(); at.tabIndex = -1; next.tabIndex = 0; next.focus(); }
  }
  const down = {ArrowDown: 1, ArrowUp: -1}[event.key];
  if (down && at.matches('tr[data-event]')) {
    const next = down > 0 ? at.nextElementSibling : at.previousElementSibling;
    if (next) { event.preventDefault(); next.focus(); }
  }
});
"""

CSS = """
.dt-wrap { overflow: auto; max-height: 520px; border: 1px solid var(--border-color-primary); border-radius: 10px; }
.dt-wrap .dt th, .dt-wrap .dt td { border: 0; border-bottom: 1px solid var(--border-color-primary); }
.dt-wrap .dt tr:last-child td { border-bottom: 0; }
.dt-wrap table.dt { border: 0; padding: 0; }
.dt { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 13.5px;
  margin: 0 !important; }
.dt th { position: sticky; top: 0; z-index: 1; background: var(--background-fill-secondary); text-align: left;
  vertical-align: bottom; padding: 6px 8px 5px; font-weight: 600; }
.dt th button.dt-name { all: unset; cursor: pointer; white-space: nowrap; }
.dt th button.dt-name:hover { color: var(--qs-good); }
.dt th small { display: block; font-weight: 400; color: var(--body-text-color-subdued); font-size: 11px;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; max-width: 190px; min-height: 14px; }
.dt-bars { display: flex; align-items: flex-end; gap: 1px; height: 30px; min-width: 56px; max-width: 190px; }
.dt-bar { all: unset; flex: 1; height: 100%; display: flex; align-items: flex-end; cursor: pointer; min-width: 3px; }
.dt-bar i { display: block; width: 100%; min-height: 1px; background: #8fb9b4; border-radius: 1.5px 1.5px 0 0; }
.dark .dt-bar i { background: #3f6f6a; }
.dt-bar:hover i, .dt-bar.on i { background: #0f9488; }
.dt button:focus-visible, .dt tr:focus-visible, .dt-chip:focus-visible { outline: 2px solid #0f9488;
  outline-offset: -2px; }
.dt td { padding: 6px 8px; vertical-align: top; overflow-wrap: anywhere; }
.dt td div { display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden;
  unicode-bidi: plaintext; }
.dt td.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.dt td.wide { min-width: 150px; }
.dt td.short { white-space: nowrap; }
.dt td.warn { color: var(--qs-warn); }
.dt tbody tr { cursor: pointer; }
.dt tbody tr:hover { background: var(--background-fill-secondary); }
.dt tbody tr.open { background: var(--qs-answer); }
.dt input { accent-color: #0f9488; width: 15px; height: 15px; cursor: pointer; }
.dt-chips { display: flex; flex-wrap: wrap; gap: 6px; margin: 0 0 6px; }
.dt-chip { all: unset; cursor: pointer; border: 1px solid #0f9488; border-radius: 999px; padding: 1px 10px;
  font-size: 13px; color: var(--qs-good); }
@media (max-width: 640px) {
  .dt { min-width: 640px; } .dt-wrap { max-height: 420px; }
  /* a row that can only be opened is a card: its cells under each other, each with its column's title */
  .dt.cards { min-width: 0; } .dt.cards thead { display: none; }
  .dt.cards, .dt.cards tbody, .dt.cards tr, .dt.cards td { display: block; }
  .dt-wrap .dt.cards tr { padding: 6px 0; border-bottom: 1px solid var(--border-color-primary); }
  .dt-wrap .dt.cards td { border: 0; padding: 3px 12px; text-align: left; white-space: normal; }
  .dt.cards td[data-title]::before { content: attr(data-title); color: var(--body-text-color-subdued); font-size: 12px;
    margin-right: 6px; }
  .dt.cards td div { -webkit-line-clamp: 4; }
}
"""


@dataclass(frozen=True)
class TableBar:
    """One bar of a histogram: how high (0 to 1), what a hand over it reads, what its click gives, whether it is on."""

    height: float
    title: str
    value: str
    on: bool = False


@dataclass(frozen=True)
class TableColumn:
    """A column. Attributes: numeric: right-aligned; wide: text that may take what room there is; short: a word or two
    that stay on one line."""

    name: str
    title: str
    numeric: bool = False
    wide: bool = False
    note: str = ""
    bars: Sequence[TableBar] = ()
    short: bool = False


@dataclass(frozen=True)
class TableRow:
    """A row: what tells it from the others, its cells as text in the columns' order; `warn`: it cannot be used."""

    key: int | str
    cells: Sequence[str]
    warn: bool = False


@dataclass(frozen=True)
class TablePage:
    """What is seen of a table. Attributes: plain: rows can be opened, and that is all: no boxes, no order to choose;
    on a phone each is a card."""

    columns: Sequence[TableColumn]
    rows: Sequence[TableRow]
    sort: str = ""
    descending: bool = False
    ticked: Collection[int | str] = field(default_factory=frozenset)
    opened: int | str | None = None
    filters: Sequence[tuple[str, str]] = ()  # words and value of each filter that is on
    empty: str = "No rows."
    plain: bool = False


def build_data_table(elem_id: str, detail: str) -> gr.HTML:
    """The table; listen to .sort_by, .pick_bar, .drop_filter, .open_row and .tick_row.

    Args:
        detail: the id of what shows an opened row; it is scrolled into sight.
    """
    return gr.HTML("", js_on_load=_JS, elem_id=elem_id, padding=False, detail=detail)


_PICK = '<th aria-label="Pick"></th>'


def table_html(page: TablePage) -> str:
    """The table as HTML; every text in it is escaped."""
    chips = "".join(
        f'<button class="dt-chip" data-event="drop_filter" data-value="{_attribute(value)}" '
        f'title="Take this filter away">{html.escape(words)} ✕</button>'
        for words, value in page.filters
    )
    heads = "".join(_head(column, page) for column in page.columns)
    body = "".join(_row(row, page) for row in page.rows)
    if not page.rows:
        across = len(page.columns) + (not page.plain)
        body = f'<tr><td colspan="{across}" class="qs-empty">{html.escape(page.empty)}</td></tr>'
    return (
        (f'<div class="dt-chips">{chips}</div>' if chips else "")
        + f'<div class="dt-wrap"><table class="{"dt cards" if page.plain else "dt"}"><thead><tr>'
        f"{'' if page.plain else _PICK}{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _head(column: TableColumn, page: TablePage) -> str:
    if page.plain:
        return f"<th>{html.escape(column.title)}<small>{html.escape(column.note)}</small></th>"
    arrow = (" ↓" if page.descending else " ↑") if column.name == page.sort else ""
    bars = "".join(
        f'<button class="dt-bar{" on" if bar.on else ""}"{_told(bar)} '
        f'tabindex="{-1 if place else 0}" title="{_attribute(bar.title)}" aria-label="{_attribute(bar.title)}">'
        f'<i style="height:{max(0.0, min(1.0, bar.height)) * 100:.0f}%"></i></button>'
        for place, bar in enumerate(column.bars)
    )
    return (
        f'<th><button class="dt-name" data-event="sort_by" data-value="{_attribute(column.name)}" '
        f'title="Sort by {_attribute(column.title)}">{html.escape(column.title)}{arrow}</button>'
        + (f'<div class="dt-bars" role="group" aria-label="{_attribute(column.title)}">{bars}</div>' if bars else "")
        + f"<small>{html.escape(column.note)}</small></th>"
    )


def _row(row: TableRow, page: TablePage) -> str:
    cells = []
    for column, cell in zip(page.columns, row.cells, strict=True):
        kinds = " ".join(
            ["num"] * column.numeric
            + ["wide"] * column.wide
            + ["short"] * column.short
            + ["warn"] * (row.warn and column.wide)
        )
        inside = html.escape(cell) if column.numeric else f'<div dir="auto">{html.escape(cell)}</div>'
        title = f' data-title="{_attribute(column.title)}"' if page.plain else ""
        cells.append(f'<td class="{kinds}"{title}>{inside}</td>')
    key = _attribute(str(row.key))
    ticked = " checked" if row.key in page.ticked else ""
    opened = ' class="open"' if row.key == page.opened else ""
    box = (
        f'<td><input type="checkbox"{ticked} data-event="tick_row" data-value="{key}" aria-label="Pick row {key}"></td>'
    )
    return (
        f'<tr{opened} tabindex="0" data-event="open_row" data-value="{key}">'
        f"{'' if page.plain else box}{''.join(cells)}</tr>"
    )


def _told(bar: TableBar) -> str:
    """A bar of no height is nothing to filter by."""
    return f' data-event="pick_bar" data-value="{_attribute(bar.value)}"' if bar.height or bar.on else " disabled"


def _attribute(text: str) -> str:
    return html.escape(text, quote=True)


def value_of(event: gr.EventData) -> Any:
    """What a click in the table says: JSON where it is some, else the text."""
    try:
        return json.loads(event.value)
    except (json.JSONDecodeError, TypeError):
        return event.value
