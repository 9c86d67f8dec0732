"""Cut a subset by a recipe, export it, push it, compare it with another."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup
from pydantic import ValidationError

from components.conversation import chips_html, empty_html
from components.histogram import bars_svg, key_html
from components.model_form import build_field, build_fields, form_validator, given
from components.progress_bar import ProgressBar, build_progress_bar
from core.data import compare, export, parse_rows, subset, table
from core.data.formats import EXPORT_FORMATS, EXPORT_LABELS
from core.data.recipe import Recipe
from core.errors import StudioError
from core.settings import Settings, slug
from core.system.jobs import Job, Jobs
from studio.data.page_state import lens_of
from studio.data.sql import sql_of
from studio.handlers import info
from studio.job_progress import follow

FIELDS = ["rows", "method", "stratify_by", "seed", "held_out_share", "duplicates", "leaks"]
QUICK_ROWS = 1000


class Cutting:
    """What this part does; names no widget's layout."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs

    def choices(self) -> list[tuple[str, str]]:
        found = reversed(subset.subsets(self.settings))
        return [(f"{s.name} ({s.rows:,} + {s.held_out:,} held out)", s.name) for s in found]

    def on_load(self) -> list[Any]:
        choices = self.choices()
        return [gr.update(choices=choices, value=choices[0][1] if choices else None), gr.update(choices=choices)]

    def recipe(self, state: dict, ticked: list[int], values: dict[str, Any]) -> Recipe:
        """What the form and the page's filters say, as a recipe."""
        lens = lens_of(state)
        view = (
            lens.view
            if values.get("method") != "picked"
            else lens.view.model_copy(update={"filters": [], "search": ""})
        )
        reads = {f.column for f in view.filters} | {view.sort}
        counted = lens.counts(self.settings) is not None and (
            bool(reads & {"tokens", "answer_tokens"}) or values.get("method") in ("shortest", "longest")
        )
        if "near_duplicate_of" in reads and values.get("duplicates") != "near":
            raise StudioError("The filter on near duplicates goes with “near” under Duplicates. Choose it, or drop it.")
        return Recipe(
            dataset=lens.dataset or "",
            reading=lens.reading,
            view=view,
            model=lens.model if counted else "",
            template=lens.template if counted else "auto",
            picked=sorted(ticked) if values.get("method") == "picked" else [],
            **given(values),
        )

    def strata(self, state: dict) -> Any:
        """The columns whose proportions can be kept."""
        lens = lens_of(state)
        if not lens.dataset:
            return gr.skip()
        fields = lens.rows(self.settings).fields
        return gr.update(choices=[name for name, field in fields.items() if name not in ("row", "prompt", "answer")])

    def in_words(self, state: dict, ticked: list[int], **values: Any) -> str:
        """The recipe as it stands, before it is cut."""
        lens = lens_of(state)
        if not lens.dataset:
            return empty_html("Open a data set first.")
        if values.get("method") == "picked" and not ticked:
            return chips_html([("Recipe:", "tick rows in the table to pick them", True)])
        if values.get("method") == "stratified" and not values.get("stratify_by"):
            return chips_html([("Recipe:", "name the column whose proportions are kept", True)])
        try:
            said = self.recipe(state, ticked, values).in_words()
        except (StudioError, ValidationError):  # told when it is cut; half a form is no mistake yet
            return chips_html([("Recipe:", "not complete yet", True)])
        return chips_html([("Recipe:", said, False)])

    def suggest_name(self, state: dict, **values: Any) -> str:
        """A name that says how the rows were chosen, and that is not taken."""
        lens = lens_of(state)
        if not lens.dataset:
            return ""
        stem = Path(lens.data(self.settings).source.name).stem
        rows = values.get("rows") or 0
        method = values.get("method")
        parts = [stem, str(int(rows)) if rows > 0 else "all"]
        parts += ["filtered"] * bool(lens.view.in_words() and method != "picked")
        parts += [method] * (method not in ("random", None)) + [f"seed{int(values['seed'])}"] * bool(values.get("seed"))
        name = plain = slug("-".join(parts))
        taken = {s.name for s in subset.subsets(self.settings)}
        number = 2
        while name in taken:
            name, number = f"{plain}-{number}", number + 1
        return name

    def cut(self, state: dict, ticked: list[int], name: str, **values: Any) -> list[Any]:
        if not lens_of(state).dataset:
            raise StudioError("No data set is open. Open one first.")
        made = subset.cut(self.settings, (name or "").strip(), self.recipe(state, ticked, values))
        info(made.in_words(), title=f"Cut {made.name}")
        return self._made(made)

    def _made(self, made: subset.Subset) -> list[Any]:
        """Updates of both lists of subsets, and the name of the one just cut."""
        choices = self.choices()
        return [gr.update(choices=choices, value=made.name), gr.update(choices=choices), made.name]

    def cut_by_sql(self, state: dict, sql: str, name: str) -> list[Any]:
        """The usable rows that the SQL names."""
        lens = lens_of(state)
        counted = lens.counts(self.settings) is not None
        recipe = Recipe(
            dataset=lens.dataset or "", reading=lens.reading, sql=sql_of(sql), method="first",
            model=lens.model if counted else "", template=lens.template if counted else "auto",
        )  # fmt: skip
        made = subset.cut(self.settings, (name or "").strip(), recipe)
        info(made.in_words(), title=f"Cut {made.name}")
        return self._made(made)

    def cut_from_file(self, upload: str | None, name: str) -> list[Any]:
        """Run a recipe that somebody kept."""
        if not upload:
            raise StudioError("No recipe was chosen. Choose the recipe.json of a subset or of an export.")
        recipe = subset.read_recipe(Path(upload), Path(upload).name)
        return self._made(subset.cut(self.settings, (name or "").strip() or slug(Path(upload).stem), recipe))

    def quick(self, state: dict) -> Iterator[list[Any]]:
        """1,000 rows drawn at random, written as Llama-2 text: what guanaco-llama2-1k is."""
        lens = lens_of(state)
        data = lens.data(self.settings)
        reading = lens.read_as(self.settings)
        there = parse_rows.derive(self.settings, data, reading).usable
        held_out = data.splits.get(table.HELD_OUT, 0)
        rows = min(QUICK_ROWS, max(1, there - held_out))
        name = slug(f"{Path(data.source.name).stem}-llama2-{'1k' if rows == QUICK_ROWS else rows}")
        recipe = Recipe(dataset=data.id, reading=lens.reading, rows=rows, held_out_share=0)
        made = subset.cut(self.settings, name, recipe)
        for update in self.export(made.name, "llama2", ["jsonl", "parquet"]):
            yield [*update, *self._made(made)]

    def describe(self, name: str | None) -> str:
        if not name:
            return empty_html("Cut a subset first.")
        found = subset.find(self.settings, name)
        words = f"{found.in_words()} SHA-256 of the conversations {found.sha256[:12]}…"
        gone = [(f"{count:,}", reason, True) for reason, count in found.left_out.items()]
        return chips_html([("", words, False), *gone])

    def export(self, name: str | None, form: str, kinds: list[str]) -> Iterator[list[Any]]:
        found = subset.find(self.settings, name or "")
        job = self.jobs.start(
            f"export/{found.name}-{form}",
            f"Exporting {found.name}",
            export.export,
            self.settings,
            found.name,
            form,
            kinds,
        )

        def ended(done: Job) -> list[Any]:
            return [gr.update(value=done.result.path, visible=True), _written(done.result)]

        yield from follow(job, 2, ended)

    def push(self, name: str | None, form: str, repo: str, private: bool, token: str) -> Iterator[list[Any]]:
        found = subset.find(self.settings, name or "")
        job = self.jobs.start(
            f"push/{found.name}", f"Pushing {found.name} to {repo}", export.push, self.settings, found.name, form, repo,
            private, token or None,
        )  # fmt: skip

        def ended(done: Job) -> list[Any]:
            info(f"It is at {done.result.path}", title=f"Pushed {found.name}")
            return [gr.skip(), _written(done.result, f"Pushed to {done.result.path}. ")]

        yield from follow(job, 2, ended)

    def compare(self, left: str | None, right: str | None) -> str:
        if not left or not right:
            return empty_html("Choose two subsets to see what they share.")
        found = compare.compare(self.settings, left, right)
        chips = [
            (
                f"{found.common:,}",
                f"conversations in both, of {found.left_size:,} and {found.right_size:,} different ones",
                False,
            )
        ]
        if found.crossed:
            chips.append((f"{found.crossed:,}", "that one trains on and the other holds out", True))
        title = "Lengths in characters"
        bars = bars_svg(found.edges, found.left, found.right, unit="characters", title=title)
        return chips_html(chips) + Markup(key_html([left, right]) + bars)


def _written(done: export.Exported, before: str = "") -> str:
    missing = [(f"{len(rows):,}", f"left out: {reason} (row {', '.join(map(str, rows[:3]))})", True)
               for reason, rows in done.not_written.items()]  # fmt: skip
    return chips_html([("", f"{before}{done.rows:,} rows written.", False), *missing])


def validate_cut(state: dict, ticked: list[int], name: str, **values: Any) -> list[Any]:
    """One gr.validate an input, in their order: the states, the fields, the name."""
    across = ("method", "stratify_by")  # what is wrong across fields is told by the cut itself
    known = {key: value for key, value in values.items() if key not in across}
    fields = dict(zip(known, form_validator(Recipe)(dataset="-", **known)[1:], strict=True))
    fine = gr.validate(True, "")
    named = gr.validate(bool(name and name.strip()), "Give the subset a name.")
    return [fine, fine, *(fields.get(key, fine) for key in values), named]


@dataclass(frozen=True)
class CuttingWidgets:
    recipe: dict[str, gr.components.Component]
    words: gr.HTML
    name: gr.Textbox
    cut: gr.Button
    quick: gr.Button
    recipe_file: gr.File
    run_file: gr.Button


def build_cutting() -> CuttingWidgets:
    recipe = build_fields(Recipe, FIELDS[:2])
    recipe["stratify_by"] = build_field(Recipe, "stratify_by", [], visible=False)
    with gr.Row():
        recipe |= build_fields(Recipe, ["seed", "held_out_share"])
    recipe |= build_fields(Recipe, ["duplicates", "leaks"])
    words = gr.HTML(elem_id="recipe-words", padding=False)
    name = gr.Textbox(label="Name", info="Filled in for you; change it as you like.", elem_id="subset-name")
    cut = gr.Button("Cut", variant="primary", elem_id="cut")
    quick = gr.Button("1,000 rows in Llama-2 format, in one click", elem_id="quick-cut")
    with gr.Accordion("Run a recipe again", open=False, elem_id="recipe-file-box"):
        recipe_file = gr.File(label="recipe.json", file_types=[".json"], height=100, elem_id="recipe-file")
        run_file = gr.Button("Cut by this recipe", elem_id="run-recipe")
    return CuttingWidgets(recipe, words, name, cut, quick, recipe_file, run_file)


@dataclass(frozen=True)
class ExportWidgets:
    subset: gr.Dropdown
    words: gr.HTML
    form: gr.Dropdown
    kinds: gr.CheckboxGroup
    export: gr.Button
    bar: ProgressBar
    written: gr.HTML
    download: gr.File
    push: dict[str, gr.components.Component]
    push_button: gr.Button
    other: gr.Dropdown
    comparison: gr.HTML


def build_export() -> ExportWidgets:
    chosen = gr.Dropdown(label="Subset", allow_custom_value=True, elem_id="subset")
    words = gr.HTML(elem_id="subset-words", padding=False)
    choices = [(EXPORT_LABELS[form], form) for form in EXPORT_FORMATS]
    form = gr.Dropdown(choices, value="llama2", label="Format", filterable=False, elem_id="export-format")
    kinds = gr.CheckboxGroup(
        [(label, kind) for kind, label in export.FILE_LABELS.items()], value=["jsonl", "parquet"], label="Files",
        elem_id="export-kinds",
    )  # fmt: skip
    button = gr.Button("Make the zip", variant="primary", elem_id="export")
    bar = build_progress_bar("exporting")
    written = gr.HTML(elem_id="export-written", padding=False)
    download = gr.File(label="Download", visible=False, interactive=False, elem_id="download")
    with gr.Accordion("Push to the Hub", open=False, elem_id="push-box"):
        push = {
            "repo": gr.Textbox(label="Repository", placeholder="you/name", elem_id="push-repo"),
            "private": gr.Checkbox(True, label="Private", info="Of a new repository; one that is there stays so."),
            "token": gr.Textbox(
                label="Token", type="password", elem_id="push-token",
                info="One with write access; empty: HF_TOKEN of the machine. Used once, kept nowhere.",
            ),
        }  # fmt: skip
        push_button = gr.Button("Push", elem_id="push")
    with gr.Accordion("Compare with another subset", open=False, elem_id="compare-box"):
        other = gr.Dropdown(label="Other subset", allow_custom_value=True, elem_id="compare-with")
        comparison = gr.HTML(
            empty_html("Choose two subsets to see what they share."), elem_id="comparison", padding=False
        )
    return ExportWidgets(
        chosen, words, form, kinds, button, bar, written, download, push, push_button, other, comparison
    )
