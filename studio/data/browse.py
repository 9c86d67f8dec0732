"""Browse the rows of a dataset: search, filter, sort, page and tick them in a table with histograms."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from components.data_table import build_data_table
from components.pager import Pager, build_pager, clamp_page, position_text
from core.data.histogram import Histogram, histogram
from core.data.row_losses import KNOWN, LEARNED, NEVER
from core.data.rows import Rows
from core.data.view import MAX_FILTER_VALUES, Filter, View
from core.errors import StudioError
from core.evaluate import result
from core.settings import Settings
from core.system.counting import counted
from studio.data.page_state import MAX_TICKED, PageState, State, parse_state
from studio.data.rows_table import TITLES, rows_html
from studio.data.summary import summary_html

ALL_ROWS = "All rows"
CLASS_KINDS = {"Known by the base": KNOWN, "Learned by the run": LEARNED, "Never learned": NEVER}
ROW_KINDS = [
    ALL_ROWS,
    "Usable",
    "Cannot be used",
    "Exact duplicates",
    "Near duplicates",
    "Would be truncated",
    *CLASS_KINDS,
]
_MAX_SOURCE_COLUMNS = 2
_MAX_CACHED_HISTOGRAMS = 400
_SECONDS_BETWEEN_YIELDS = 2.0
_ORDER_FIELDS = {"sort", "descending"}


class Browse:
    """Event handlers of the table. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._histograms: dict[tuple, Histogram] = {}

    # Changes of the view

    def search(self, state: State, text: str) -> dict[str, Any]:
        """Show the rows of the chosen dataset that contain a text."""
        return self._with_view(state, search=text or "")

    def sort(self, state: State, column: str) -> dict[str, Any]:
        """Sort by a column: ascending, then descending, then in the source's order."""
        view = parse_state(state).view
        if view.sort != column:
            return self._with_view(state, sort=column, descending=False)
        return self._with_view(state, sort="" if view.descending else column, descending=not view.descending)

    def toggle_filter(self, state: State, chosen: dict) -> dict[str, Any]:
        """Filter by a bar of a histogram, or remove that filter."""
        page = parse_state(state)
        view = page.view.toggle(Filter.model_validate(chosen))
        return {"state": page.replace(view=view), "row_kind": ALL_ROWS}

    def remove_filter(self, state: State, chosen: dict | None) -> dict[str, Any]:
        """Remove one filter; without one, remove all filters and the search."""
        page = parse_state(state)
        if chosen is None:
            view = View(sort=page.view.sort, descending=page.view.descending)
            return {"state": page.replace(view=view), "row_kind": ALL_ROWS, "search": ""}
        kept = [f for f in page.view.filters if f != Filter.model_validate(chosen)]
        view = page.view.model_copy(update={"filters": kept})
        return {"state": page.replace(view=view), "row_kind": ALL_ROWS}

    def show_kind(self, state: State, kind: str) -> dict[str, Any]:
        """Show one of ROW_KINDS; it replaces all other filters."""
        return self._with_view(state, filters=self._filters_of(parse_state(state), kind))

    def _filters_of(self, page: PageState, kind: str) -> list[Filter]:
        if kind == "Usable":
            return [Filter(column="problem", values=[None])]
        if kind == "Cannot be used":
            problems = page.open_rows(self.settings).parsed.problems
            # If there are too many problems to list, the filter matches any of them. If there is none, it must match no
            # row, and an empty list would be no filter.
            if len(problems) > MAX_FILTER_VALUES:
                return [Filter(column="problem", by_length=True, low=1)]
            return [Filter(column="problem", values=list(problems) or ["none"])]
        if kind == "Exact duplicates":
            return [Filter(column="duplicate_of", low=0)]
        if kind == "Near duplicates":
            if page.near_duplicates_file(self.settings) is None:
                raise StudioError(
                    "Near duplicates have not been searched yet. Press “Find near duplicates” under Token statistics."
                )
            return [Filter(column="near_duplicate_of", low=0)]
        if kind == "Would be truncated":
            if page.token_counts_file(self.settings) is None:
                raise StudioError("Tokens have not been counted yet. Press “Count tokens” under Token statistics.")
            return [Filter(column="tokens", low=page.max_length + 1)]
        if kind in CLASS_KINDS:
            if (source := page.loss_source(self.settings)) is None or not source.run:
                raise StudioError(
                    "No run's losses are measured for these rows. Choose a run under Token statistics, “What the base "
                    "knows”, and press “Measure what the base knows”."
                )
            return [Filter(column="learning", values=[CLASS_KINDS[kind]])]
        return []

    def tick(self, ticked: list[int], number: int) -> dict[str, Any]:
        """Tick a row for a subset of picked rows, or remove its tick.

        Raises:
            StudioError: Too many rows are ticked.
        """
        if number not in ticked and len(ticked) >= MAX_TICKED:
            raise StudioError(
                f"{len(ticked):,} rows are ticked, and at most {MAX_TICKED:,} can be. Use filters instead."
            )
        rest = [row for row in ticked if row != number]
        return {"ticked": rest if number in ticked else [*ticked, number]}

    def choose_columns(self, state: State, columns: list[str]) -> dict[str, Any]:
        """Show other columns."""
        return {"state": parse_state(state).replace(columns=columns or [])}

    def _with_view(self, state: State, **changes: Any) -> dict[str, Any]:
        page = parse_state(state)
        return {"state": page.replace(view=page.view.model_copy(update=changes))}

    # The table

    def show_page(
        self, state: State, ticked: list[int], opened: int | None, page: float | None, size: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the table of one page, and again once its histograms are computed, or some of them if they take long.

        Args:
            state: The page's state.
            ticked: Numbers of the ticked rows.
            opened: Number of the open row.
            page: Number of the table's page, from 1; one that does not exist gives the nearest.
            size: Rows per page.
        """
        shown = parse_state(state)
        summary = {"summary": summary_html(self.settings, state)}
        if not shown.dataset:
            yield {"table": "", "page": 1, "position": "no rows", "matches": "", **summary}
            return
        rows = shown.open_rows(self.settings)
        total = rows.count(shown.view)
        number = clamp_page(page, total, size)
        names = self.columns(shown, rows)
        frame = rows.page(shown.view, (number - 1) * size, size, names)
        # The summary comes with the rows, so that the title and the table of two datasets are never mixed.
        position = {
            "page": number, "position": position_text(number, total, size),
            "matches": _matches(total, rows.about.rows), **summary,
        }  # fmt: skip
        yield from self._with_histograms(shown, rows, frame, names, ticked, opened, position)

    def _with_histograms(
        self, shown: PageState, rows: Rows, frame: pd.DataFrame, names: list[str], ticked: list[int],
        opened: int | None, position: dict[str, Any],
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Yield the table of a frame, first with the histograms that are known; `position` is added to each."""
        # A histogram depends on filters and counts but not on the order, so sorting finds all of them in the cache.
        view_key = shown.view.model_dump_json(exclude=_ORDER_FIELDS)
        key = (rows.about.id, rows.parsed.key, shown.model, shown.template, rows.losses_version, view_key)
        known = {name: self._histograms.get((*key, name)) for name in names}
        yield {"table": rows_html(shown, rows, frame, known, ticked, opened), **position}
        if missing := [name for name in names if known[name] is None and name != "row"]:
            if len(self._histograms) > _MAX_CACHED_HISTOGRAMS:
                self._histograms.clear()
            shown_at = time.monotonic()
            for name in missing:
                # Gradio ends a handler whose page was closed only where it yields.
                if time.monotonic() - shown_at > _SECONDS_BETWEEN_YIELDS:
                    yield {"table": rows_html(shown, rows, frame, known, ticked, opened), **position}
                    shown_at = time.monotonic()
                known[name] = self._histograms[(*key, name)] = histogram(rows, name, shown.view)
            yield {"table": rows_html(shown, rows, frame, known, ticked, opened), **position}

    def show_first_page(
        self, state: State, ticked: list[int], opened: int | None, page: float | None, size: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the table after a change of the view: its first page, or that of the row of a link."""
        shown = parse_state(state)
        first = 1
        if shown.dataset and shown.at_row is not None:
            numbers = shown.open_rows(self.settings).row_numbers(shown.view)
            first = numbers.index(shown.at_row) // size + 1 if shown.at_row in numbers else 1
        yield from self.show_page(state, ticked, opened, first, size)

    def step_row(
        self, state: State, ticked: list[int], opened: int | None, page: float | None, size: int, step: int
    ) -> Iterator[dict[str, Any]]:
        """Open the next or the previous row of the view, and yield the table of its page if that is another one.

        Args:
            state: The page's state.
            ticked: Numbers of the ticked rows.
            opened: Number of the open row; if the view does not have it, the first row of the page is opened.
            page: Number of the table's page.
            size: Rows per page.
            step: 1 or -1.
        """
        shown = parse_state(state)
        rows = shown.open_rows(self.settings)
        total = rows.count(shown.view)
        if not total:
            return
        number = clamp_page(page, total, size)
        # One row more on either side: most steps need no other rows.
        start = max(0, (number - 1) * size - 1)
        near = rows.row_numbers(shown.view, start, size + 2)
        if opened not in near:
            start, near = 0, rows.row_numbers(shown.view)
        index = start + near.index(opened) + step if opened in near else (number - 1) * size
        index = min(max(0, index), total - 1)
        if index - start >= len(near) or index < start:
            start, near = index, rows.row_numbers(shown.view, index, 1)
        opened = near[index - start]
        yield {"opened": opened}
        if (other := index // size + 1) != number:
            for update in self.show_page(state, ticked, opened, other, size):
                yield {**update, "opened": opened}

    def columns(self, page: PageState, rows: Rows) -> list[str]:
        """Return the columns of the table: the chosen ones, or those that say most about this dataset."""
        if chosen := [name for name in page.columns if name in rows.fields]:
            return chosen
        if compared := result.comparison_columns([column.name for column in rows.about.columns]):
            return ["row", *compared]
        if rows.reading.format == "undecided":
            source = [name for name in rows.fields if name not in TITLES]
            return ["row", "prompt", *source[: 2 * _MAX_SOURCE_COLUMNS]]
        # The conversation shows what the format reads, so only other columns of the source are added.
        used = set(rows.reading.columns.values()) - {rows.reading.columns.get("label")}
        more = [c.name for c in rows.about.columns if c.kind != "text" and c.name in rows.fields and c.name not in used]
        length = "tokens" if "tokens" in rows.fields else "characters"
        losses = [name for name in ("base_loss", "loss_fall", "learning") if name in rows.fields]
        splits = ["split"] * (len(rows.about.splits) > 1)
        return ["row", "prompt", "answer", "turns", length, *losses, "language", *splits, *more[:_MAX_SOURCE_COLUMNS]]

    def column_choices(self, state: State) -> dict[str, Any]:
        """Return the update of the list of columns."""
        page = parse_state(state)
        if not page.dataset:
            return {}
        rows = page.open_rows(self.settings)
        choices = [(TITLES.get(name, name), name) for name in rows.fields]
        return {"table_columns": gr.update(choices=choices, value=self.columns(page, rows))}


def _matches(count: int, total: int) -> str:
    """Return how many rows a view has of all, such as "10 of 340"."""
    return f"{counted(total, 'row')}" if count == total else f"{count:,} of {total:,}"


@dataclass(frozen=True)
class BrowseWidgets:
    """Widgets of the table."""

    search: gr.Textbox
    matches: gr.HTML
    row_kind: gr.Dropdown
    columns: gr.Dropdown
    table: gr.HTML
    pager: Pager


def build_browse() -> BrowseWidgets:
    """Build the widgets in the open layout."""
    with gr.Row(elem_classes="qs-tools", elem_id="rows-tools"):
        search = gr.Textbox(
            label="Search", show_label=False, placeholder="Search in every turn", container=False, scale=3,
            min_width=180, elem_id="search",
        )  # fmt: skip
        matches = gr.HTML(elem_id="search-count", elem_classes="qs-matches", padding=False)
        row_kind = gr.Dropdown(
            ROW_KINDS, value=ALL_ROWS, label="Rows shown", show_label=False, container=False, filterable=False, scale=1,
            min_width=150, elem_id="shown",
        )  # fmt: skip
    table = build_data_table("rows", "data-pane", loading="Loading the rows …")
    pager = build_pager()
    with gr.Accordion("Columns", open=False, elem_id="columns-box", elem_classes="qs-quiet"):
        columns = gr.Dropdown(
            multiselect=True, allow_custom_value=True, label="Columns of the table", elem_id="columns",
            info="The studio's own, then the source's. Click a column's name to sort, a bar to filter.",
        )  # fmt: skip
    return BrowseWidgets(search, matches, row_kind, columns, table, pager)
