"""The middle of the Data tab: search, filter, sort, page; one row as a conversation, as tokens, as it stands."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from components.conversation import chips_html, conversation_html, empty_html, raw_html, tokens_html
from components.data_table import TableBar, TableColumn, TablePage, TableRow, build_data_table, table_html
from components.pager import Pager, build_pager, clamp_page, position_words
from core.data.histogram import Histogram, format_number, histogram
from core.data.rows import Rows
from core.data.tokens import Renderer, TemplateError
from core.data.view import Filter, View
from core.errors import StudioError
from core.evaluate import result
from core.models import catalogue
from core.settings import Settings
from studio.data.page_state import Lens, lens_of
from studio.data.summary import note_chips

VIEWS = ["Conversation", "Tokens", "Raw"]
NO_ROW = "Click a row to read it as a conversation."
SHOWN = ["all rows", "usable", "cannot be used", "exact duplicates", "near duplicates", "would be truncated"]
_TITLES = {
    "row": "row", "split": "split", "turns": "turns", "language": "language", "characters": "characters",
    "answer_characters": "characters in answers", "prompt": "prompt", "answer": "answer", "problem": "problem",
    "duplicate_of": "duplicate of", "near_duplicate_of": "near duplicate of", "tokens": "tokens",
    "answer_tokens": "tokens in answers",
}  # fmt: skip
_MOST_SOURCE_COLUMNS = 2
_KEPT_HISTOGRAMS = 400


class Browsing:
    """What this part does; names no widget's layout."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._histograms: dict[tuple, Histogram] = {}

    # What is looked at

    def search(self, state: dict, text: str) -> dict:
        """Look at the rows of the chosen data set that have a text in them."""
        return self._with(state, search=text or "")

    def sort(self, state: dict, column: str) -> dict:
        """Ascending, then descending, then as in the source."""
        view = lens_of(state).view
        if view.sort != column:
            return self._with(state, sort=column, descending=False)
        return self._with(state, sort="" if view.descending else column, descending=not view.descending)

    def toggle(self, state: dict, chosen: dict) -> dict:
        """Filter by a bar, or stop filtering by it."""
        lens = lens_of(state)
        view = lens.view.toggle(Filter.model_validate(chosen))
        return lens.model_copy(update={"view": view}).model_dump()

    def drop(self, state: dict, chosen: dict | None) -> dict:
        """Take one filter away; all of them, and the search, without one."""
        lens = lens_of(state)
        if chosen is None:
            view = View(sort=lens.view.sort, descending=lens.view.descending)
        else:
            kept = [f for f in lens.view.filters if f != Filter.model_validate(chosen)]
            view = lens.view.model_copy(update={"filters": kept})
        return lens.model_copy(update={"view": view}).model_dump()

    def show(self, state: dict, name: str) -> dict:
        """One of SHOWN, in the place of all other filters."""
        lens = lens_of(state)
        chosen: list[Filter] = []
        if name == "usable":
            chosen = [Filter(column="problem", values=[None])]
        elif name == "cannot be used":
            problems = lens.rows(self.settings).parsed.problems
            chosen = [Filter(column="problem", values=list(problems) or ["none"])]
        elif name == "exact duplicates":
            chosen = [Filter(column="duplicate_of", low=0)]
        elif name == "near duplicates":
            if lens.near(self.settings) is None:
                raise StudioError("Near duplicates are not known yet: press “Find near duplicates” under Numbers.")
            chosen = [Filter(column="near_duplicate_of", low=0)]
        elif name == "would be truncated":
            if lens.counts(self.settings) is None:
                raise StudioError("Tokens are not counted yet: press “Count tokens” under Numbers.")
            chosen = [Filter(column="tokens", low=lens.max_length + 1)]
        view = lens.view.model_copy(update={"filters": chosen})
        return lens.model_copy(update={"view": view}).model_dump()

    def tick(self, ticked: list[int], number: int) -> list[int]:
        """Pick a row by hand, or put it back."""
        return [row for row in ticked if row != number] if number in ticked else [*ticked, number]

    def choose_columns(self, state: dict, columns: list[str]) -> dict:
        return lens_of(state).model_copy(update={"columns": columns or []}).model_dump()

    def _with(self, state: dict, **changes: Any) -> dict:
        lens = lens_of(state)
        return lens.model_copy(update={"view": lens.view.model_copy(update=changes)}).model_dump()

    # What is seen

    def page(
        self, state: dict, ticked: list[int], opened: int | None, page: float | None, size: int
    ) -> Iterator[tuple[str, int, str]]:
        """The table, the page's number and the position in words; the rows first, then with their histograms."""
        lens = lens_of(state)
        if not lens.dataset:
            yield "", 1, "no rows"
            return
        rows = lens.rows(self.settings)
        total = rows.count(lens.view)
        number = clamp_page(page, total, size)
        names = self.columns(lens, rows)
        frame = rows.page(lens.view, (number - 1) * size, size, names)
        words = position_words(number, total, size)
        key = (rows.about.id, rows.parsed.key, lens.model, lens.template, lens.view.model_dump_json(exclude=_ORDER))
        known = {name: self._histograms.get((*key, name)) for name in names}
        yield self._table(lens, rows, frame, known, ticked, opened), number, words
        if missing := [name for name in names if known[name] is None and name != "row"]:
            if len(self._histograms) > _KEPT_HISTOGRAMS:
                self._histograms.clear()
            for name in missing:
                known[name] = self._histograms[(*key, name)] = histogram(rows, name, lens.view)
            yield self._table(lens, rows, frame, known, ticked, opened), number, words

    def columns(self, lens: Lens, rows: Rows) -> list[str]:
        """The columns of the table: those chosen, or what tells most about this data set."""
        if chosen := [name for name in lens.columns if name in rows.fields]:
            return chosen
        if compared := result.read_first([column.name for column in rows.about.columns]):
            return ["row", *compared]
        if rows.reading.format == "undecided":
            return ["row", "prompt", *[n for n in rows.fields if n not in _TITLES][: 2 * _MOST_SOURCE_COLUMNS]]
        used = set(rows.reading.columns.values()) - {rows.reading.columns.get("label")}
        more = [c.name for c in rows.about.columns if c.kind != "text" and c.name in rows.fields and c.name not in used]
        counted = "tokens" if "tokens" in rows.fields else "characters"
        splits = ["split"] * (len(rows.about.splits) > 1)
        return ["row", "prompt", "answer", "turns", counted, "language", *splits, *more[:_MOST_SOURCE_COLUMNS]]

    def column_choices(self, state: dict) -> Any:
        lens = lens_of(state)
        if not lens.dataset:
            return gr.skip()
        rows = lens.rows(self.settings)
        return gr.update(choices=[(_TITLES.get(n, n), n) for n in rows.fields], value=self.columns(lens, rows))

    def _table(
        self, lens: Lens, rows: Rows, frame: pd.DataFrame, known: dict[str, Histogram | None], ticked: list[int],
        opened: int | None,
    ) -> str:  # fmt: skip
        columns = [self._column(lens, rows, name, known[name]) for name in known]
        shown = [
            TableRow(int(number), [self._cell(rows, name, record, problem) for name in known], warn=problem is not None)
            for number, problem, record in zip(
                frame["number_"], (value if isinstance(value, str) else None for value in frame["problem_"]),
                frame.to_dict("records"), strict=True,
            )
        ]  # fmt: skip
        page = TablePage(
            columns,
            shown,
            sort=lens.view.sort,
            descending=lens.view.descending,
            ticked=frozenset(ticked),
            opened=opened,
            filters=[(chosen.describe(), chosen.model_dump_json()) for chosen in lens.view.filters],
            empty="No row is like that. Take a filter away, or search for something else.",
        )
        return table_html(page)

    def _column(self, lens: Lens, rows: Rows, name: str, found: Histogram | None) -> TableColumn:
        field = rows.fields[name]
        bars, note = [], ""
        if found and found.bars:
            most = max(bar.count for bar in found.bars) or 1
            chosen = lens.view.filters
            bars = [
                TableBar(
                    bar.count / most,
                    f"{found.column.replace('_', ' ')}{' length' * (found.kind == 'lengths')} {bar.label}: "
                    f"{bar.count:,} rows",
                    bar.chosen.model_dump_json(),
                    bar.chosen in chosen,
                )
                for bar in found.bars
            ]
            note = _note(found)
        return TableColumn(
            name,
            _TITLES.get(name, name),
            numeric=field.kind in ("integer", "number"),
            wide=field.kind == "text" and name not in ("split", "language"),
            note=note,
            bars=bars,
        )

    def _cell(self, rows: Rows, name: str, record: dict, problem: str | None) -> str:
        value = record[name]
        if problem is not None and name == "prompt":
            return record["raw"]
        if problem is not None and name == "answer":
            return f"⚠ cannot be used: {problem}"
        if value is None or pd.isna(value):
            return ""
        kind = rows.fields[name].kind
        if kind == "integer":
            return f"{int(value):,}"
        return format_number(value) if kind == "number" else str(value)

    # One row

    def row(self, state: dict, opened: int | None, view: str) -> str:
        """The opened row in one of VIEWS. Tokens come from the trainer's own renderer."""
        lens = lens_of(state)
        if not lens.dataset or opened is None:
            return empty_html(NO_ROW)
        record = lens.rows(self.settings).row(opened)
        where = f"{record['split']}, line {record['line']:,}"
        facts = [(f"Row {opened:,}", where, False), *note_chips(record["notes"])]
        if view == "Raw":
            return chips_html(facts) + raw_html(record["raw"])
        if record["problem"]:
            facts.append(("⚠", f"Cannot be used: {record['problem']}", True))
            return chips_html(facts) + raw_html(record["raw"])
        if view == "Tokens":
            return self._tokens(lens, record["messages"], facts)
        return chips_html(facts) + conversation_html(record["messages"])

    def _tokens(self, lens: Lens, messages: list[dict[str, str]], facts: list[tuple[str, str, bool]]) -> str:
        from core.models.loading import load_tokenizer

        renderer = Renderer(load_tokenizer(catalogue.find(self.settings, lens.model)), lens.template)
        try:
            shown = renderer.render(messages)
        except TemplateError as error:
            return chips_html([*facts, ("⚠", f"Not trained on: {error}", True)]) + conversation_html(messages)
        pieces = [
            (shown.text[start:end], role, label >= 0)
            for (start, end), role, label in zip(shown.offsets, shown.roles, shown.labels, strict=True)
        ]
        facts = [
            *facts,
            (f"{shown.length:,}", f"tokens for {lens.model}, {renderer.template_name}", False),
            (f"{shown.loss_tokens:,}", "carry loss (coloured)", False),
            *(("⚠", note, True) for note in shown.notes),
        ]
        if shown.length > lens.max_length:
            facts.append((f"{shown.length - lens.max_length:,}", f"past the cut at {lens.max_length:,}", True))
        return chips_html(facts) + tokens_html(pieces, lens.max_length)


_ORDER = {"sort", "descending"}


def _note(found: Histogram) -> str:
    empty = f", {found.empty:,} empty" if found.empty else ""
    if found.kind == "values":
        return f"{len(found.bars)} values{empty}" if len(found.bars) > 1 else f"{found.bars[0].label}{empty}"
    low, high = found.bars[0].chosen.low or 0, found.bars[-1].chosen.high or 0
    what = " characters" if found.kind == "lengths" else ""
    return f"{format_number(low)} to {format_number(high)}{what}{empty}"


@dataclass(frozen=True)
class BrowsingWidgets:
    search: gr.Textbox
    shown: gr.Dropdown
    columns: gr.Dropdown
    table: gr.HTML
    pager: Pager
    view: gr.Radio
    row: gr.HTML


def build_browsing() -> BrowsingWidgets:
    with gr.Row(elem_classes="qs-tools"):
        search = gr.Textbox(
            label="Search", show_label=False, placeholder="Search in every turn", container=False, scale=3,
            min_width=180, elem_id="search",
        )  # fmt: skip
        shown = gr.Dropdown(
            SHOWN, value=SHOWN[0], label="Rows shown", show_label=False, container=False, filterable=False, scale=1,
            min_width=150, elem_id="shown",
        )  # fmt: skip
    table = build_data_table("rows", "row-view")
    pager = build_pager()
    with gr.Accordion("Columns", open=False, elem_id="columns-box"):
        columns = gr.Dropdown(
            multiselect=True, allow_custom_value=True, label="Columns of the table", elem_id="columns",
            info="The studio's own, then the source's. Click a column's name to sort, a bar to filter.",
        )  # fmt: skip
    view = gr.Radio(VIEWS, value=VIEWS[0], label="The row as", show_label=False, container=False, elem_id="row-view")
    row = gr.HTML(empty_html(NO_ROW), elem_id="row-shown", padding=False)
    return BrowsingWidgets(search, shown, columns, table, pager, view, row)
