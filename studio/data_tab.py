"""The Data tab: open a data set, page through it, read a row, cut a subset, export it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from components.conversation import chips_html, conversation_html, empty_html, raw_html, tokens_html
from components.model_form import build_fields, form_validator, given
from components.paged_table import PagedTable, build_paged_table, clamp_page, position_words
from core.data import readers, sources, subset, table
from core.data.formats import EXPORT_FORMATS, EXPORT_LABELS
from core.data.subset import Recipe
from core.data.table import Dataset, Rows
from core.errors import StudioError
from core.models import catalogue, embedded
from core.settings import Settings, slug
from studio.told import told

HEADERS = ["row", "split", "turns", "prompt", "answer"]
WIDTHS = ["8%", "11%", "8%", "33%", "40%"]
VIEWS = ["Conversation", "Tokens", "Raw JSON"]
NO_ROW = "Click a row to read it as a conversation."


@dataclass(frozen=True)
class DataTab:
    """What studio/app.py may link to."""

    subset: gr.Dropdown  # its choices change when a subset is cut
    cut: gr.events.Dependency


class DataActions:
    """What the tab does; names no widget's layout."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def dataset_choices(self) -> list[tuple[str, str]]:
        return [(f"{d.source.name} ({d.rows:,} rows)", d.id) for d in table.opened_datasets(self.settings)]

    def subset_choices(self) -> list[tuple[str, str]]:
        found = reversed(subset.subsets(self.settings))
        return [(f"{s.name} ({s.rows:,} + {s.held_out:,} held out)", s.name) for s in found]

    def on_load(self) -> tuple[Any, Any]:
        """Fill both lists anew: another page or the command line may have opened or cut something."""
        datasets, subsets = self.dataset_choices(), self.subset_choices()
        return (
            gr.update(choices=datasets, value=datasets[-1][1] if datasets else None),
            gr.update(choices=subsets, value=subsets[0][1] if subsets else None),
        )

    def _opened(self, data: Dataset) -> Any:
        gr.Info(f"{data.rows:,} rows, {data.usable:,} usable: {data.evidence}.", title=f"Opened {data.source.name}")
        return gr.update(choices=self.dataset_choices(), value=data.id)

    def open_file(self, upload: str | None) -> Any:
        if not upload:
            raise StudioError(f"No file was chosen. Choose one that ends in {', '.join(readers.SUFFIXES)}.")
        return self._opened(sources.open_file(self.settings, Path(upload)))

    def open_hub(self, hub_id: str, config: str, split: str, revision: str) -> Any:
        return self._opened(sources.open_hub(self.settings, hub_id, config, split, revision))

    def page(self, dataset: str, page: float, size: int) -> tuple[list[list[Any]], int, str]:
        rows = Rows(self.settings, dataset)
        number = clamp_page(page, rows.about.rows, size)
        frame = rows.page((number - 1) * size, size)
        shown = [
            [
                r.row,
                r.split,
                r.turns,
                r.prompt or r.raw or "",
                f"⚠ cannot be used: {r.problem}" if r.problem else r.answer,
            ]
            for r in frame.itertuples()
        ]
        return shown, number, position_words(number, rows.about.rows, size)

    def summary(self, dataset: str) -> str:
        about = table.find(self.settings, dataset)
        chips = [(f"{about.rows:,}", "rows", False), (f"{about.usable:,}", "usable", False)]
        chips += [(f"{count:,}", split, False) for split, count in about.splits.items() if len(about.splits) > 1]
        if about.ends_on_user:
            chips.append((f"{about.ends_on_user:,}", "end on a user turn: trained up to their last answer", False))
        chips += [(f"{count:,}", f"cannot be used: {reason}", True) for reason, count in about.problems.items()]
        chips += [("!", complaint, True) for complaint in about.unreadable[:3]]
        return chips_html([*chips, ("Format:", about.evidence, False)])

    def row(self, dataset: str, number: int | None, view: str, max_length: int) -> str:
        """One row in one of VIEWS. Tokens are the embedded model's; they come from the trainer's own renderer."""
        if number is None:
            return empty_html(NO_ROW)
        record = Rows(self.settings, dataset).row(number)
        if view == "Raw JSON":
            return raw_html(record["raw"])
        if record["problem"]:
            return chips_html([("⚠", f"Row {number} cannot be used: {record['problem']}", True)]) + raw_html(
                record["raw"]
            )
        if view == "Tokens":
            return self._tokens(record["messages"], max_length)
        return conversation_html(record["messages"])

    def _tokens(self, messages: list[dict[str, str]], max_length: int) -> str:
        from core.data.tokens import Renderer
        from core.models.loading import load_tokenizer

        tokenizer = load_tokenizer(catalogue.find(self.settings, embedded.NAME))
        shown = Renderer(tokenizer).render(messages)
        pieces = [
            (shown.text[start:end], role, label >= 0)
            for (start, end), role, label in zip(shown.offsets, shown.roles, shown.labels, strict=True)
        ]
        chips = chips_html(
            [
                (f"{shown.length:,}", f"tokens for {embedded.NAME}", False),
                (f"{shown.learns:,}", "carry loss (coloured)", False),
            ]
        )
        note = f"cut here at {max_length} tokens" if shown.length > max_length else ""
        return chips + tokens_html(pieces[:max_length], note)

    def suggest_name(self, dataset: str, rows: float | None) -> str:
        about = table.find(self.settings, dataset)
        return slug(f"{Path(about.source.name).stem}-{int(rows)}" if rows else f"{Path(about.source.name).stem}-all")

    def cut(self, name: str, **values: Any) -> Any:
        made = subset.cut(self.settings, name.strip(), Recipe(**given(values)))
        gr.Info(made.in_words(), title=f"Cut {made.name}")
        return gr.update(choices=self.subset_choices(), value=made.name)

    def describe(self, name: str | None) -> str:
        if not name:
            return empty_html("Cut a subset first.")
        found = subset.find(self.settings, name)
        left_out = sum(found.left_out.values())
        words = f"{found.in_words()} Recipe hash {found.sha256[:12]}."
        return chips_html(
            [("", words, False)] + ([(f"{left_out:,}", "unusable rows left out", True)] if left_out else [])
        )

    def export(self, name: str, form: str) -> str:
        return str(subset.export(self.settings, name, form))


def build_data_tab(settings: Settings, demo: gr.Blocks) -> DataTab:
    do = DataActions(settings)
    chosen_row = gr.State(None)
    dataset, upload, hub_fields, open_hub = _build_open()
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            summary = gr.HTML(elem_id="data-summary", padding=False)
            paged = build_paged_table(HEADERS, WIDTHS)
            view = gr.Radio(VIEWS, value=VIEWS[0], show_label=False, container=False, elem_id="row-view")
            shown = gr.HTML(empty_html(NO_ROW), elem_id="row-shown", padding=False)
        with gr.Column(scale=2, min_width=300):
            recipe, name, cut = _build_cut()
            chosen, words, form, export, download = _build_export()

    demo.load(told(do.on_load), None, [dataset, chosen], show_progress="hidden", api_visibility="private")
    upload.upload(told(do.open_file), upload, dataset, api_name="open_file")
    open_hub.click(told(do.open_hub), inputs_kwargs=hub_fields, outputs=dataset, api_name="open_hub")
    _wire_browsing(do, dataset, paged, summary, chosen_row, view, shown)
    named = [dataset, recipe["rows"]]
    for source in named:
        source.change(told(do.suggest_name), named, name, show_progress="hidden", api_visibility="private")
    made = cut.click(
        told(do.cut),
        inputs_kwargs={"dataset": dataset, "name": name, **recipe},
        outputs=chosen,
        validator=_cut_validator,
        api_name="cut",
    )
    chosen.change(told(do.describe), chosen, words, show_progress="hidden", api_visibility="private")
    exported = export.click(told(do.export), [chosen, form], download, api_name="export")
    exported.success(lambda: gr.update(visible=True), None, download, api_visibility="private")
    for source in (chosen, form):
        source.change(
            lambda: gr.update(visible=False), None, download, show_progress="hidden", api_visibility="private"
        )
    return DataTab(chosen, made)


def _cut_validator(dataset: str, name: str, **values: Any) -> list[Any]:
    fields = form_validator(Recipe)(dataset=dataset, **values)
    return [fields[0], gr.validate(bool(name and name.strip()), "Give the subset a name."), *fields[1:]]


def _build_open() -> tuple[gr.Dropdown, gr.File, dict[str, gr.Textbox], gr.Button]:
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            dataset = gr.Dropdown(label="Data set", filterable=False, elem_id="dataset")
        with (
            gr.Column(scale=2, min_width=280),
            gr.Accordion("Upload a file", open=False, elem_id="open-upload"),
        ):
            upload = gr.File(
                label=", ".join(readers.SUFFIXES), file_types=list(readers.SUFFIXES), height=120, elem_id="upload"
            )
        with (
            gr.Column(scale=2, min_width=280),
            gr.Accordion("From the Hugging Face Hub", open=False, elem_id="open-hub"),
        ):
            fields = {
                "hub_id": gr.Textbox(label="Hub id", placeholder="timdettmers/openassistant-guanaco", elem_id="hub-id"),
                "config": gr.Textbox(label="Configuration", info="Only where a data set has several."),
                "split": gr.Textbox(label="Split", info="Empty: all; test and validation are held out."),
                "revision": gr.Textbox(label="Revision", info="Branch, tag or commit; empty: main, as it is now."),
            }
            button = gr.Button("Open from the Hub", elem_id="open-hub-button")
    return dataset, upload, fields, button


def _build_cut() -> tuple[dict[str, gr.components.Component], gr.Textbox, gr.Button]:
    gr.Markdown("### Cut a subset\nThe rows that a run trains on.", elem_classes="qs-title")
    recipe = build_fields(Recipe, ["rows", "method", "seed", "held_out_share"])
    name = gr.Textbox(label="Name", info="Filled in for you; change it as you like.", elem_id="subset-name")
    return recipe, name, gr.Button("Cut", variant="primary", elem_id="cut")


def _build_export() -> tuple[gr.Dropdown, gr.HTML, gr.Dropdown, gr.Button, gr.File]:
    gr.Markdown("### Export\nJSONL and Parquet in one zip, with the recipe.", elem_classes="qs-title")
    chosen = gr.Dropdown(label="Subset", filterable=False, elem_id="subset")
    words = gr.HTML(elem_id="subset-words", padding=False)
    choices = [(EXPORT_LABELS[form], form) for form in EXPORT_FORMATS]
    form = gr.Dropdown(choices, value="llama2", label="Format", filterable=False, elem_id="export-format")
    export = gr.Button("Make the zip", elem_id="export")
    return chosen, words, form, export, gr.File(label="Download", visible=False, interactive=False, elem_id="download")


def _wire_browsing(
    do: DataActions,
    dataset: gr.Dropdown,
    paged: PagedTable,
    summary: gr.HTML,
    chosen_row: gr.State,
    view: gr.Radio,
    shown: gr.HTML,
) -> None:
    page_inputs = [dataset, paged.page, paged.size]
    page_outputs = [paged.table, paged.page, paged.position]
    max_length = gr.State(1024)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}

    def turned(step: int) -> Any:
        return told(lambda data, page, size: do.page(data, (page or 1) + step, size))

    def opened(data: str, size: int) -> tuple:
        return (*do.page(data, 1, size), do.summary(data), None)

    dataset.change(told(opened), [dataset, paged.size], [*page_outputs, summary, chosen_row], api_visibility="private")
    paged.back.click(turned(-1), page_inputs, page_outputs, **quiet)
    paged.forward.click(turned(1), page_inputs, page_outputs, **quiet)
    paged.page.submit(told(do.page), page_inputs, page_outputs, api_name="page")
    paged.size.change(told(do.page), page_inputs, page_outputs, **quiet)

    def select(event: gr.SelectData) -> int:
        return int(event.row_value[0])  # the row's own number: the table may be sorted in the browser

    paged.table.select(told(select), None, chosen_row, **quiet)
    for source in (chosen_row, view):
        source.change(told(do.row), [dataset, chosen_row, view, max_length], shown, **quiet)
