"""Create a subset of a dataset by a recipe: from the form, from SQL, or from a recipe file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.conversation import chips_html, empty_html
from components.model_form import build_field, build_fields, form_validator, non_empty_values
from components.progress_bar import ProgressBar, build_progress_bar
from components.upload_file import UploadFile
from core.data import lengths, subset, table, tasks
from core.data.recipe import Recipe
from core.data.row_losses import LOSS_COLUMNS
from core.data.subset import Subset
from core.errors import StudioError, sentence
from core.settings import Settings, slug
from core.system.jobs import Job, Jobs
from studio.choices import dataset_choices, subset_choices
from studio.data.created_card import created_html
from studio.data.page_state import State, parse_state
from studio.data.row_changes import Changes, changes_of, in_recipe
from studio.data.sql import check_sql
from studio.job_progress import follow

FIELDS = ["rows", "method", "stratify_by", "seed", "held_out_share", "duplicates", "leaks"]
CREATE = "create-subset"
_QUICK_HELP = (
    "Ignores the settings above: 1,000 random rows of the whole dataset, nothing held out, written as a ZIP like "
    "guanaco-llama2-1k."
)
# Fields that are checked against each other, so no single widget shows their problem.
_FIELDS_IN_PAIRS = ("method", "stratify_by")
# A subset of a larger dataset takes more than a second, so it is created in the background with a progress bar.
_MAX_DIRECT_ROWS = 20_000


def created_updates(settings: Settings, created: Subset) -> dict[str, Any]:
    """Return updates of all lists with subsets, the name of the one just created, and the card that reports it."""
    choices = subset_choices(settings)
    return {
        "dataset_list": gr.update(choices=dataset_choices(settings)),
        "subset": gr.update(choices=choices, value=created.name),
        "other": gr.update(choices=choices),
        "created": created.name,
        "created_card": gr.update(visible=True),
        "created_text": created_html(created),
    }


class CreateSubset:
    """Event handlers that create subsets. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs

    def recipe(self, state: State, ticked: list[int], changes: Changes, values: dict[str, Any]) -> Recipe:
        """Return the recipe that the form, the page's filters and the changed rows describe.

        Args:
            state: The page's state.
            ticked: Numbers of the ticked rows, used by the method "picked".
            changes: Rows that are edited, excluded or added, by dataset.
            values: The form's fields.

        Raises:
            StudioError: The filter on near duplicates has no counterpart in the recipe.
            pydantic.ValidationError: A field is invalid.
        """
        page, method = parse_state(state), values.get("method")
        # Rows picked by hand are taken even if the current filter hides them.
        view = page.view.model_copy(update={"filters": [], "search": ""}) if method == "picked" else page.view
        read_columns = {f.column for f in view.filters} | {view.sort}
        if "near_duplicate_of" in read_columns and values.get("duplicates") != "near":
            raise StudioError(
                "A filter on near duplicates needs “near” under Duplicates. Choose it, or remove the filter."
            )
        # The recipe names the tokenizer only if its counts decide something: without it, anyone can run the recipe.
        needs_counts = not read_columns.isdisjoint(lengths.COUNTED_COLUMNS) or method in ("shortest", "longest")
        is_counted = needs_counts and page.token_counts_file(self.settings) is not None
        read_columns |= {values.get("stratify_by")} if method == "stratified" else set()
        recipe = Recipe(
            dataset=page.dataset or "",
            reading=page.reading,
            view=view,
            losses=None if read_columns.isdisjoint(LOSS_COLUMNS) else page.loss_source(self.settings),
            model=page.model if is_counted else "",
            template=page.template if is_counted else "auto",
            picked=sorted(ticked) if method == "picked" else [],
            **non_empty_values(values),
        )
        return in_recipe(recipe, changes_of(page, changes))

    def stratify_choices(self, state: State) -> dict[str, Any]:
        """Return the update of the columns whose proportions can be kept."""
        page = parse_state(state)
        if not page.dataset:
            return {}
        fields = page.open_rows(self.settings).fields
        choices = [name for name in fields if name not in ("row", "prompt", "answer")]
        return {"stratify_by": gr.update(choices=choices)}

    def describe_recipe(self, state: State, ticked: list[int], changes: Changes, **values: Any) -> dict[str, Any]:
        """Describe the recipe of the form, or name what is missing."""
        return {"recipe_text": self._recipe_html(state, ticked, changes, values)}

    def _recipe_html(self, state: State, ticked: list[int], changes: Changes, values: dict[str, Any]) -> str:
        if not parse_state(state).dataset:
            return empty_html("Open a dataset first.")
        if values.get("method") == "picked" and not ticked:
            return chips_html([("Recipe:", "tick rows in the table to pick them", True)])
        if values.get("method") == "stratified" and not values.get("stratify_by"):
            return chips_html([("Recipe:", "choose the column whose proportions are kept", True)])
        try:
            text = self.recipe(state, ticked, changes, values).describe()
        except (StudioError, ValidationError):
            # A form that is half filled in is no mistake; creating the subset reports what is wrong.
            return chips_html([("Recipe:", "not complete yet", True)])
        return chips_html([("Recipe:", text, False)])

    def suggest_name(self, state: State, changes: Changes, **values: Any) -> dict[str, Any]:
        """Suggest a free name that describes how the rows are chosen."""
        page = parse_state(state)
        if not page.dataset:
            return {"name": ""}
        rows, method = values.get("rows") or 0, values.get("method")
        parts = [Path(page.find_dataset(self.settings).source.name).stem, str(int(rows)) if rows > 0 else "all"]
        if page.view.describe() and method != "picked":
            parts.append("filtered")
        if changes_of(page, changes).describe():
            parts.append("edited")
        if method not in ("random", None):
            parts.append(method)
        if values.get("seed"):
            parts.append(f"seed{int(values['seed'])}")
        name = stem = slug("-".join(parts))
        taken = {one.name for one in subset.subsets(self.settings)}
        number = 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        return {"name": name}

    def create(
        self, state: State, ticked: list[int], changes: Changes, name: str, **values: Any
    ) -> Iterator[dict[str, Any]]:
        """Create a subset from the form, the page's filters, the ticked and the changed rows."""
        if not parse_state(state).dataset:
            raise StudioError("No dataset is open. Open one first.")
        yield from self._create_subset(name, self.recipe(state, ticked, changes, values))

    def create_by_sql(self, state: State, sql: str, name: str) -> Iterator[dict[str, Any]]:
        """Create a subset of the usable rows that the SQL selects."""
        page = parse_state(state)
        is_counted = page.token_counts_file(self.settings) is not None
        recipe = Recipe(
            dataset=page.dataset or "", reading=page.reading, sql=check_sql(sql), method="first",
            # As for the filters: without it, anyone can run the recipe.
            losses=page.loss_source(self.settings) if any(name in sql.lower() for name in LOSS_COLUMNS) else None,
            model=page.model if is_counted else "", template=page.template if is_counted else "auto",
        )  # fmt: skip
        yield from self._create_subset(name, recipe)

    def create_from_file(self, upload: str | None, name: str) -> Iterator[dict[str, Any]]:
        """Create a subset by the recipe.json of a subset or an export."""
        if not upload:
            raise StudioError("No recipe was chosen. Choose the recipe.json of a subset or of an export.")
        path = Path(upload)
        yield from self._create_subset((name or "").strip() or slug(path.stem), subset.read_recipe(path, path.name))

    def _create_subset(self, name: str, recipe: Recipe) -> Iterator[dict[str, Any]]:
        name = (name or "").strip()
        rows = table.find(self.settings, recipe.dataset).rows
        if rows <= _MAX_DIRECT_ROWS and recipe.duplicates != "near":
            yield created_updates(self.settings, subset.create(self.settings, name, recipe))
            return
        job = self.jobs.start(f"{CREATE}/{name}", f"Creating {name}", tasks.create_subset, self.settings, name, recipe)
        yield from follow(job, self.show_created)

    def show_created(self, done: Job) -> dict[str, Any]:
        """Return the updates that show the subset that a job has created."""
        return created_updates(self.settings, done.result)


def validate_subset(state: State, ticked: list[int], changes: Changes, name: str, **values: Any) -> dict[str, Any]:
    """Return one gr.validate per input with a problem of its own; problems across fields are raised by `create`."""
    checked = {key: value for key, value in values.items() if key not in _FIELDS_IN_PAIRS}
    # The dataset's name is not part of the form; any name satisfies the recipe.
    results = form_validator(Recipe, sentence)(dataset="-", **checked)
    problems = {
        key: result for key, result in zip(("dataset", *checked), results, strict=True) if not result["is_valid"]
    }
    if not (name and name.strip()):
        problems["name"] = gr.validate(False, "Enter a name for the subset.")
    return problems


@dataclass(frozen=True)
class CreateSubsetWidgets:
    """Widgets of the form that creates a subset."""

    recipe: dict[str, gr.components.Component]
    recipe_text: gr.HTML
    name: gr.Textbox
    create: gr.Button
    quick: gr.Button
    bar: ProgressBar
    recipe_file: gr.File
    run_file: gr.Button


def build_create_subset() -> CreateSubsetWidgets:
    """Build the widgets in the open layout."""
    recipe = build_fields("subset", Recipe, FIELDS[:2])
    recipe["stratify_by"] = build_field("subset", Recipe, "stratify_by", [], visible=False)
    with gr.Row(elem_classes="qs-ends"):
        recipe |= build_fields("subset", Recipe, ["seed", "held_out_share"])
    recipe |= build_fields("subset", Recipe, ["duplicates", "leaks"])
    recipe_text = gr.HTML(elem_id="recipe-words", padding=False)
    name = gr.Textbox(label="Name", info="Suggested from the recipe; change it as you like.", elem_id="subset-name")
    create = gr.Button("Create subset", variant="primary", elem_id="create-subset")
    bar = build_progress_bar("creating")
    more = "Other ways: 1,000 rows in Llama 2 format, or a recipe file"
    with gr.Accordion(more, open=False, elem_id="recipe-file-box", elem_classes="qs-quiet"):
        gr.Markdown(_QUICK_HELP, elem_classes="qs-note")
        quick = gr.Button("Create 1,000 rows in Llama 2 format", elem_id="quick-cut")
        recipe_file = UploadFile(label="recipe.json", file_types=[".json"], height=100, elem_id="recipe-file")
        run_file = gr.Button("Create from recipe", elem_id="run-recipe")
    return CreateSubsetWidgets(recipe, recipe_text, name, create, quick, bar, recipe_file, run_file)
