"""A pager: which page of how many, and how many rows a page; only a page of any table reaches the browser."""

from dataclasses import dataclass

import gradio as gr

PAGE_SIZES = [25, 50, 100, 250, 500]


@dataclass(frozen=True)
class Pager:
    """The caller fills `position` and listens to the rest."""

    position: gr.HTML
    page: gr.Number
    size: gr.Dropdown
    back: gr.Button
    forward: gr.Button


def build_pager(elem_id: str = "page") -> Pager:
    with gr.Row(elem_classes="qs-pager"):
        back = gr.Button("‹ Back", size="sm", min_width=80, scale=0, elem_id=f"{elem_id}-back")
        page = gr.Number(
            1, precision=0, label="Page", show_label=False, container=False, min_width=70, scale=0,
            elem_id=f"{elem_id}-number",
        )  # fmt: skip
        forward = gr.Button("Next ›", size="sm", min_width=80, scale=0, elem_id=f"{elem_id}-next")
        position = gr.HTML(elem_classes="qs-position", elem_id=f"{elem_id}-position")
        size = gr.Dropdown(
            PAGE_SIZES, value=PAGE_SIZES[0], label="Rows a page", show_label=False, container=False, min_width=90,
            scale=0, filterable=False, elem_id=f"{elem_id}-size",
        )  # fmt: skip
    return Pager(position, page, size, back, forward)


def last_page(rows: int, size: int) -> int:
    return max(1, -(-rows // size))


def clamp_page(page: float | None, rows: int, size: int) -> int:
    """`page` as a page that exists, counted from 1."""
    return min(max(1, int(page or 1)), last_page(rows, size))


def position_words(page: int, rows: int, size: int) -> str:
    if not rows:
        return "no rows"
    first = (page - 1) * size
    return f"rows {first + 1:,} to {min(first + size, rows):,} of {rows:,}, page {page:,} of {last_page(rows, size):,}"
