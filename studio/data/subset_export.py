"""Export a subset as a zip, push it to the Hub, compare it with another."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from components.conversation import chips_html, empty_html, secondary_html
from components.histogram import histogram_svg, legend_html
from components.progress_bar import ProgressBar, build_progress_bar
from core.data import compare, export, select_rows, subset
from core.data.formats import EXPORT_FORMATS, EXPORT_LABELS
from core.data.recipe import Recipe
from core.settings import Settings
from core.system.counting import counted, noun_for
from core.system.jobs import Job, Jobs
from studio.choices import subset_choices
from studio.data.page_state import State, parse_state
from studio.data.subsets import created_updates
from studio.handlers import info
from studio.hub_push import PushWidgets, build_push, read_target
from studio.job_progress import follow

EXPORT, PUSH = "export", "push"
_QUICK_ROWS = 1000
_TWO_NEEDED = "Choose two subsets to see what they share."
_MAX_EXAMPLE_ROWS = 3


class ExportSubset:
    """Event handlers of the export. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs

    def on_load(self) -> dict[str, Any]:
        """List the subsets and choose the newest."""
        choices = subset_choices(self.settings)
        newest = choices[0][1] if choices else None
        return {"subset": gr.update(choices=choices, value=newest), "other": gr.update(choices=choices)}

    def describe(self, name: str | None) -> dict[str, Any]:
        """Describe a subset: its recipe, its hash, and the rows that it leaves out."""
        if not name:
            return {"subset_text": empty_html("Create a subset first.")}
        found = subset.find(self.settings, name)
        text = f"{found.describe()} SHA-256 of the conversations: {found.sha256[:12]}…"
        left_out = [(f"{count:,}", reason, True) for reason, count in found.left_out.items()]
        return {"subset_text": secondary_html(text) + (chips_html(left_out) if left_out else "")}

    def hide_result(self) -> dict[str, Any]:
        """Hide the last export: it does not belong to what is chosen now."""
        return {"download": gr.update(visible=False), "written": ""}

    def export(self, name: str | None, form: str, kinds: list[str]) -> Iterator[dict[str, Any]]:
        """Write a subset as a zip of the chosen kinds of files."""
        found = subset.find(self.settings, name or "")
        job = self.jobs.start(
            f"{EXPORT}/{found.name}-{form}", f"Exporting {found.name}", export.export, self.settings, found.name, form,
            kinds,
        )  # fmt: skip
        yield from follow(job, self.show_result)

    def push(self, name: str | None, form: str, **values: Any) -> Iterator[dict[str, Any]]:
        """Push a subset to a dataset repository of the Hub; the values are those of `hub_push.read_target`."""
        found = subset.find(self.settings, name or "")
        target, source = read_target(**values)
        job = self.jobs.start(
            f"{PUSH}/{found.name}", f"Pushing {found.name} to {target.repo}", export.push, self.settings, found.name,
            form, target, source=source,
        )  # fmt: skip
        yield from follow(job, self.show_result)

    def show_result(self, done: Job) -> dict[str, Any]:
        """Return the updates that show what was written or pushed."""
        if done.kind.startswith(f"{PUSH}/"):
            info(f"It is at {done.result.path}", title=f"Pushed {done.arguments[1]}")
            return {"written": _written_html(done.result, f"Pushed to {done.result.path}. ")}
        return {"download": gr.update(value=done.result.path, visible=True), "written": _written_html(done.result)}

    def create_and_export(self, state: State) -> Iterator[dict[str, Any]]:
        """Create a subset of 1,000 random rows and export it as Llama 2 text, like guanaco-llama2-1k."""
        page = parse_state(state)
        data = page.find_dataset(self.settings)
        recipe = Recipe(dataset=data.id, reading=page.reading, held_out_share=0)
        # A smaller dataset gives all its rows, except its own held-out rows and those with the same questions.
        available = select_rows.count_available(select_rows.open_rows(self.settings, recipe), recipe)
        rows = min(_QUICK_ROWS, max(1, available))
        recipe = recipe.model_copy(update={"rows": rows})
        name = f"{Path(data.source.name).stem}-llama2-{'1k' if rows == _QUICK_ROWS else rows}"
        # Another file of the same name, or another reading, may have been exported before.
        name = subset.free_name(self.settings, name, recipe)
        created = subset.create(self.settings, name, recipe)
        for update in self.export(created.name, "llama2", ["jsonl", "parquet"]):
            yield {**update, **created_updates(self.settings, created)}

    def compare(self, left: str | None, right: str | None) -> dict[str, Any]:
        """Compare two subsets: shared conversations, overlap of training and held-out rows, lengths."""
        if not left or not right:
            return {"comparison": empty_html(_TWO_NEEDED)}
        found = compare.compare(self.settings, left, right)
        sizes = f"of {found.left_size:,} and {found.right_size:,} different ones"
        chips = [(f"{found.common:,}", f"{noun_for(found.common, 'conversation')} in both, {sizes}", False)]
        if found.crossed:
            chips.append((f"{found.crossed:,}", "that one trains on and the other holds out", True))
        histogram = histogram_svg(
            found.edges, found.left, found.right, unit="characters", title="Lengths in characters"
        )
        return {"comparison": "".join((chips_html(chips), legend_html([left, right]), histogram))}


def _written_html(done: export.ExportResult, before: str = "") -> str:
    """Return how many rows were written, and per reason which were not."""
    missing = [
        (f"{len(rows):,}", f"left out: {reason} (row {', '.join(map(str, rows[:_MAX_EXAMPLE_ROWS]))})", True)
        for reason, rows in done.not_written.items()
    ]
    return chips_html([("", f"{before}{counted(done.rows, 'row')} written.", False), *missing])


@dataclass(frozen=True)
class ExportSubsetWidgets:
    """Widgets of the export."""

    subset: gr.Dropdown
    browse: gr.Button
    subset_text: gr.HTML
    form: gr.Dropdown
    kinds: gr.CheckboxGroup
    export: gr.Button
    bar: ProgressBar
    written: gr.HTML
    download: gr.File
    push: PushWidgets
    other: gr.Dropdown
    comparison: gr.HTML


def build_export_subset() -> ExportSubsetWidgets:
    """Build the widgets in the open layout."""
    with gr.Row(elem_id="subset-row"):
        chosen = gr.Dropdown(label="Subset", allow_custom_value=True, elem_id="subset", scale=1, min_width=160)
        browse = gr.Button("Browse", size="sm", scale=0, min_width=80, elem_id="browse-subset")
    subset_text = gr.HTML(elem_id="subset-words", padding=False)
    choices = [(EXPORT_LABELS[form], form) for form in EXPORT_FORMATS]
    form = gr.Dropdown(choices, value="llama2", label="Format", filterable=False, elem_id="export-format")
    kinds = gr.CheckboxGroup(
        [(label, kind) for kind, label in export.FILE_LABELS.items()], value=["jsonl", "parquet"], label="Files",
        info="All hold the rows exactly. In a spreadsheet, import a CSV's columns as text: it may hold formulas.",
        elem_id="export-kinds",
    )  # fmt: skip
    button = gr.Button("Export ZIP", elem_id="export")
    bar = build_progress_bar("exporting")
    written = gr.HTML(elem_id="export-written", padding=False)
    download = gr.File(label="Download", visible=False, interactive=False, elem_id="download")
    with gr.Accordion("Push to the Hub", open=False, elem_id="push-box", elem_classes="qs-quiet"):
        push = build_push("push")
    with gr.Accordion("Compare with another subset", open=False, elem_id="compare-box", elem_classes="qs-quiet"):
        other = gr.Dropdown(label="Other subset", allow_custom_value=True, elem_id="compare-with")
        comparison = gr.HTML(empty_html(_TWO_NEEDED), elem_id="comparison", padding=False)
    return ExportSubsetWidgets(
        chosen, browse, subset_text, form, kinds, button, bar, written, download, push, other, comparison
    )
