"""Pager of a table: the page's number, Back and Next, and the rows per page.

Only one page of a table reaches the browser.
"""

from dataclasses import dataclass

import gradio as gr

PAGE_SIZES = [25, 50, 100, 250, 500]


@dataclass(frozen=True)
class Pager:
    """Widgets of a pager; the caller fills `page` and `position` and listens to the rest."""

    position: gr.HTML
    page: gr.Number
    size: gr.Dropdown
    back: gr.Button
    forward: gr.Button


def build_pager(elem_id: str = "page") -> Pager:
    """Build the widgets in the open layout; `elem_id` begins the id of each."""
    with gr.Row(elem_classes="qs-pager"):
        back = gr.Button("‹ Back", size="sm", min_width=80, scale=0, elem_id=f"{elem_id}-back")
        page = gr.Number(
            1, precision=0, label="Page", show_label=False, container=False, min_width=70, scale=0,
            elem_id=f"{elem_id}-number",
        )  # fmt: skip
        forward = gr.Button("Next ›", size="sm", min_width=80, scale=0, elem_id=f"{elem_id}-next")
        position = gr.HTML(elem_classes="qs-position", elem_id=f"{elem_id}-position")
        size = gr.Dropdown(
            PAGE_SIZES, value=PAGE_SIZES[0], label="Rows per page", show_label=False, container=False, min_width=90,
            scale=0, filterable=False, elem_id=f"{elem_id}-size",
        )  # fmt: skip
    return Pager(position, page, size, back, forward)


def last_page(rows: int, size: int) -> int:
    """Return the number of the last page, at least 1.

    Args:
        rows: Rows of the whole table.
        size: Rows per page.
    """
    # The negations round the quotient up.
    return max(1, -(-rows // size))


def clamp_page(page: float | None, rows: int, size: int) -> int:
    """Return the nearest page that exists, counted from 1.

    Args:
        page: The wanted page; None stands for the first.
        rows: Rows of the whole table.
        size: Rows per page.
    """
    return min(max(1, int(page or 1)), last_page(rows, size))


def position_text(page: int, rows: int, size: int) -> str:
    """Describe a page as "rows 26 to 50 of 1,060, page 2 of 43".

    Args:
        page: Its number, from 1.
        rows: Rows of the whole table.
        size: Rows per page.
    """
    if not rows:
        return "no rows"
    first = (page - 1) * size
    return f"rows {first + 1:,} to {min(first + size, rows):,} of {rows:,}, page {page:,} of {last_page(rows, size):,}"
