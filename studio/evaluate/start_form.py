"""Form of a new evaluation: which prompts, which lanes, which generation settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError

from components.model_form import build_field
from components.upload_file import UploadFile
from core.chat.sampling import Sampling
from core.chat.turns import BASE, MAX_LANES
from core.data import readers, subset
from core.errors import StudioError, sentences
from core.evaluate import process
from core.evaluate.config import EvaluationConfig, parse_lane
from core.evaluate.lineage import parent_run
from core.evaluate.store import EvaluationStore
from core.models import catalogue
from core.runs.store import Run
from studio.handlers import info

NO_RUN = (
    "No run has an adapter yet. Train one in the Train tab; until then the base model can answer a subset or a file."
)
_PROMPT_SETS = [("A run's held-out rows", "held-out"), ("A subset", "subset"), ("A file of prompts", "file")]
_FIRST_FIELDS = ("limit", "max_new_tokens")
# In pairs below each other, under Settings.
_SETTINGS = ("temperature", "seed", "quantization", "compute_dtype")
_TEXT_FIELDS = ("system", "stop")
_OTHER_SAMPLING = tuple(
    name for name in Sampling.model_fields if name not in (*_FIRST_FIELDS, *_SETTINGS, *_TEXT_FIELDS)
)
_PLAIN_FIELDS = (*_OTHER_SAMPLING, "rows", "turns")
_MORE_FIELDS = (*_TEXT_FIELDS, *_PLAIN_FIELDS)
# The browser's file dialog compares the last suffix only: .jsonl.gz must be offered as .gz.
_FILE_TYPES = [suffix for suffix in readers.SUFFIXES if suffix.count(".") == 1] + [".gz", ".zst", *readers.ADVISED]
_NUMBERS = tuple(
    name
    for name in (*_FIRST_FIELDS, *_SETTINGS, *_MORE_FIELDS)
    if EvaluationConfig.model_fields[name].annotation in (int, float)
)


class StartForm:
    """Event handlers of the form."""

    def __init__(self, store: EvaluationStore):
        self.store = store

    def runs(self) -> list[Run]:
        """Return the readable runs, the newest first."""
        return [run for run in self.store.runs.runs() if not run.problem()]

    def lanes(self) -> list[tuple[str, str]]:
        """Return (label, lane) of the base model, of each run's adapter and of its checkpoints."""
        found, titles = [("Base model", BASE)], self.store.runs.titles()
        for run in self.runs():
            for adapter in run.adapters():
                lane = run.id if adapter == "final" else f"{run.id}/{adapter}"
                title = titles.get(run.id, run.title)
                found.append((title if adapter == "final" else f"{title}, {adapter}", lane))
        return found

    def refresh_choices(
        self, run: str | None, lanes: list[str] | None, proposed: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the runs, subsets, lanes and models that exist now, and keep what the user selected.

        The newest run with an adapter is proposed, and beside the base model the adapter of the run; a run that was
        duplicated from another one is compared with that one instead. Proposed values are updated: the run to the
        newest run, the lane to that run's.

        Args:
            run: The run whose held-out rows are the prompts.
            lanes: The selected lanes.
            proposed: The `run` and the `lane` that the page itself selected, as the last call returned them.
        """
        proposed = proposed or {}
        titles = self.store.runs.titles()
        runs = [(titles.get(run.id, run.title), run.id) for run in self.runs()]
        with_adapter = [each.id for each in self.runs() if "final" in each.adapters()]
        choices = self.lanes()
        selected = [lane for lane in lanes or [] if lane in dict(choices).values()]
        is_chosen = run in dict(runs).values() and run != proposed.get("run")
        chosen = run if is_chosen else next(iter(with_adapter), None)
        lane = self._newest_lane(chosen) or next(iter(with_adapter), "")
        if not run or not any(lane != BASE for lane in selected):
            selected = self._propose(lane)
        elif lane and proposed.get("lane") in selected:
            before = proposed["lane"]
            is_untouched = selected == self._propose(before)
            selected = self._propose(lane) if is_untouched else _replace_lane(selected, before, lane)
        else:
            lane = ""
        subsets = [(f"{s.name} ({s.rows + s.held_out:,} rows)", s.name) for s in subset.subsets(self.store.settings)]
        models = [(model.label, model.name) for model in catalogue.available(self.store.settings) if model.local]
        return {
            "run": gr.update(choices=runs, value=chosen),
            "subset": gr.update(choices=subsets),
            "lanes": gr.update(choices=choices, value=selected),
            "model": gr.update(choices=models),
            # Every lane but the base is an adapter, checkpoints included.
            "hint": gr.update(visible=len(choices) == 1),
            "proposed": {"run": "" if is_chosen else chosen or "", "lane": lane},
        }

    def follow_run(self, run: str | None, lanes: list[str] | None, proposed: dict[str, str]) -> dict[str, Any]:
        """Select the adapter of a run that the user chose, in place of the lane that the page itself had selected."""
        before, lane = proposed.get("lane", ""), self._newest_lane(run)
        # Gradio sends the event also when the list is left as it was.
        if not run or run == proposed.get("run"):
            return {}
        if not lane or before not in (lanes or []):
            return {"proposed": {"run": "", "lane": before}}
        is_untouched = lanes == self._propose(before)
        selected = self._propose(lane) if is_untouched else _replace_lane(lanes, before, lane)
        return {"lanes": gr.update(value=selected), "proposed": {"run": "", "lane": lane}}

    def _propose(self, lane: str) -> list[str]:
        """Return the lanes to compare: a run's adapter beside its parent's or the base model."""
        if not lane:
            return [BASE]
        return [self._newest_lane(parent_run(self.store.runs, parse_lane(lane)[0])) or BASE, lane]

    def _newest_lane(self, run_id: str | None) -> str:
        """Return the lane of a run's newest adapter; "" if it has none."""
        of_run = [lane for _, lane in self.lanes() if lane != BASE and parse_lane(lane)[0] == run_id]
        return next(iter(of_run), "")

    @staticmethod
    def update_visibility(prompts: str) -> dict[str, Any]:
        """Show the fields that the kind of prompts needs."""
        needed_by = {"run": "held-out", "subset": "subset", "split": "subset", "upload": "file"}
        return {name: gr.update(visible=prompts == kind) for name, kind in needed_by.items()}

    def start(self, upload: str | None, **values: Any) -> dict[str, str]:
        """Start an evaluation and select it."""
        config = parse_config(upload, values)
        evaluation = process.submit(self.store, config, Path(upload) if config.prompts == "file" else None)
        count = evaluation.saved_state().prompts
        info(f"{count:,} prompts. It continues when this page is closed.", title="Evaluation started")
        return {"evaluation": evaluation.id}


def _replace_lane(lanes: list[str], old: str, new: str) -> list[str]:
    """Return lanes with one in place of another, none of them twice."""
    return list(dict.fromkeys(new if lane == old else lane for lane in lanes))


def parse_config(upload: str | None, values: dict[str, Any]) -> EvaluationConfig:
    """Return the form's values as a configuration, without those that the kind of prompts does not use.

    Args:
        upload: Path of the uploaded file of prompts.
        values: Widget values by field name.

    Raises:
        StudioError: Values are missing or invalid; every such field is named by its label.
    """
    titles = {name: field.title for name, field in EvaluationConfig.model_fields.items()}
    kind = values.get("prompts")
    if kind == "file" and not upload:
        raise StudioError(f"No file is selected. Choose one that ends in {', '.join(readers.SUFFIXES)}.")
    if empty := [titles[name] for name in _NUMBERS if values.get(name) is None]:
        raise StudioError("\n".join(f"{title} is empty. Enter a value." for title in empty))
    if not values.get("lanes"):
        raise StudioError(f"No model is selected. Choose one to {MAX_LANES} under {titles['lanes']}.")
    # Hidden fields keep their values, but must not be saved as if the evaluation had used them.
    used = {"held-out": {"run"}, "subset": {"subset", "split"}}.get(kind, set())
    kept = {name: value for name, value in values.items() if name not in ("run", "subset", "split") or name in used}
    kept = {name: "" if value is None else value for name, value in kept.items()}
    if kind == "file":
        kept["file"] = Path(upload).name
    try:
        return EvaluationConfig(**kept)
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: titles.get(name, name))) from error


@dataclass(frozen=True)
class StartFormWidgets:
    """Widgets of the form.

    Attributes:
        fields: By field name of EvaluationConfig.
        upload: The file of prompts.
        hint: Shown as long as no run has an adapter.
        proposed: The run and the lane that the page itself selected (`StartForm.refresh_choices`).
        power: Which difference the chosen prompts can detect.
    """

    fields: dict[str, Component]
    upload: gr.File
    hint: gr.Markdown
    start: gr.Button
    proposed: gr.State
    power: gr.HTML

    @property
    def choice_outputs(self) -> dict[str, Component]:
        """Return the components that `refresh_choices` updates, by name."""
        return {
            **{name: self.fields[name] for name in ("run", "subset", "lanes", "model")},
            "hint": self.hint,
            "proposed": self.proposed,
        }

    @property
    def visibility_outputs(self) -> dict[str, Component]:
        """Return the components that `update_visibility` updates, by name."""
        return {**{name: self.fields[name] for name in ("run", "subset", "split")}, "upload": self.upload}


def build_start_form() -> StartFormWidgets:
    """Build the form in the open layout."""
    about = EvaluationConfig.model_fields
    fields: dict[str, Component] = {
        "prompts": gr.Radio(_PROMPT_SETS, value="held-out", label=about["prompts"].title, elem_id="evaluate-prompts"),
        "run": _field("run", [], info="Its held-out rows are the prompts; it was not trained on them."),
        "subset": _field("subset", [], visible=False),
        "split": _field("split", visible=False),
    }
    upload = UploadFile(
        label="Text, JSON, CSV, TSV, Parquet or Arrow",
        file_types=_FILE_TYPES, height=110, visible=False, elem_id="evaluate-upload",
    )  # fmt: skip
    fields["lanes"] = gr.Dropdown(
        [("Base model", BASE)], value=[BASE], multiselect=True, max_choices=MAX_LANES, allow_custom_value=True,
        label=about["lanes"].title, info="One to four, all on one base model.", elem_id="evaluate-lanes",
    )  # fmt: skip
    fields |= _row(_FIRST_FIELDS)
    fields["guard"] = _field("guard")
    hint = gr.Markdown(NO_RUN, visible=False, elem_classes="qs-note", elem_id="evaluate-hint")
    power = gr.HTML(elem_id="evaluate-power", padding=False)
    start = gr.Button("Evaluate", variant="primary", elem_id="evaluate-start")
    with gr.Accordion("Settings", open=False, elem_id="evaluate-more-settings"):
        fields |= _row(_SETTINGS[:2]) | _row(_SETTINGS[2:])
        fields |= {name: _field(name) for name in _TEXT_FIELDS}
        for index in range(0, len(_PLAIN_FIELDS), 2):
            fields |= _row(_PLAIN_FIELDS[index : index + 2])
        fields["model"] = _field("model", [])
    return StartFormWidgets(fields, upload, hint, start, gr.State({}), power)


def _row(names: Sequence[str]) -> dict[str, Component]:
    """Build fields beside each other."""
    with gr.Row(elem_classes="qs-even"):
        return {name: _field(name, min_width=130) for name in names}


def _field(name: str, choices: list[tuple[str, str]] | None = None, **options: Any) -> Component:
    return build_field(EvaluationConfig, name, choices, elem_id=f"evaluate-field-{name}", **options)
