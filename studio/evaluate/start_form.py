"""The form of the Answers tab: which prompts, who answers, with which settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.model_form import build_field
from core.data import readers, subset
from core.errors import StudioError, sentences
from core.evaluate import process
from core.evaluate.config import BASE, MAX_LANES, EvaluationConfig
from core.evaluate.store import EvaluationStore
from core.models import catalogue
from studio.handlers import info

NO_RUN = "No run has an adapter yet: train one in the Train tab. Until then the base can answer a subset or a file."
_SETS = [("A run's held-out rows", "held-out"), ("A subset", "subset"), ("A file of prompts", "file")]
_SHOWN = ("limit", "max_new_tokens", "temperature", "seed", "quantization", "compute_dtype")
_MORE = ("system", "stop", "top_p", "top_k", "min_p", "repetition_penalty", "rows")
_TYPES = [suffix for suffix in readers.SUFFIXES if suffix.count(".") == 1] + [".gz", ".zst"]
_NUMBERS = tuple(name for name in (*_SHOWN, *_MORE) if EvaluationConfig.model_fields[name].annotation in (int, float))


class Asking:
    """What this part does; names no widget's layout."""

    def __init__(self, store: EvaluationStore):
        self.store = store

    def runs(self) -> list[Any]:
        """Runs that can be read, the newest first."""
        return [run for run in self.store.runs.runs() if not run.problem()]

    def lanes(self) -> list[tuple[str, str]]:
        """Everybody who could answer: the base, each run's adapter, its checkpoints."""
        found = [("The base model", BASE)]
        for run in self.runs():
            for adapter in run.adapters():
                lane = run.id if adapter == "final" else f"{run.id}/{adapter}"
                found.append((run.title if adapter == "final" else f"{run.title}, {adapter}", lane))
        return found

    def lists(self, run: str | None, lanes: list[str] | None) -> list[Any]:
        """What can be chosen now; what was chosen stays so. Nothing chosen yet: the newest run beside its base."""
        trained = [(run.title, run.id) for run in self.runs()]
        with_adapter = [each.id for each in self.runs() if "final" in each.adapters()]
        known = self.lanes()
        kept = [lane for lane in lanes or [] if lane in dict(known).values()]
        if not run or not any(lane != BASE for lane in kept):
            kept = [BASE, *with_adapter[:1]]
        run = run if run in dict(trained).values() else next(iter(with_adapter), None)
        subsets = [(f"{s.name} ({s.rows + s.held_out:,} rows)", s.name) for s in subset.subsets(self.store.settings)]
        models = [(model.label, model.name) for model in catalogue.available(self.store.settings) if model.local]
        return [
            gr.update(choices=trained, value=run),
            gr.update(choices=subsets),
            gr.update(choices=known, value=kept),
            gr.update(choices=models),
            gr.update(visible=not with_adapter),
        ]

    @staticmethod
    def kinds(prompts: str) -> list[Any]:
        """Which of run, subset, its split and file are to be seen."""
        return [gr.update(visible=prompts == kind) for kind in ("held-out", "subset", "subset", "file")]

    def start(self, upload: str | None, **values: Any) -> Any:
        """Start an evaluation, and show it."""
        config = config_of(upload, values)
        evaluation = process.submit(self.store, config, Path(upload) if config.prompts == "file" else None)
        asked = evaluation.saved_state().prompts
        info(f"{asked:,} prompts. It goes on when this page is closed.", title=f"Started {evaluation.id}")
        return evaluation.id


def config_of(upload: str | None, values: dict[str, Any]) -> EvaluationConfig:
    """The form as a configuration; what the chosen kind of prompts does not read is left out.

    Raises StudioError that names every field as the form does.
    """
    title = {name: field.title for name, field in EvaluationConfig.model_fields.items()}
    kind = values.get("prompts")
    if kind == "file" and not upload:
        raise StudioError(f"No file was chosen. Choose one that ends in {', '.join(readers.SUFFIXES)}.")
    if empty := [title[name] for name in _NUMBERS if values.get(name) is None]:
        raise StudioError(f"{', '.join(empty)} is empty. Give it a value.")
    if not values.get("lanes"):
        raise StudioError(f"Nobody is chosen to answer. Choose one to {MAX_LANES} under {title['lanes']}.")
    read = {"held-out": {"run"}, "subset": {"subset", "split"}}.get(kind, set())
    given = {name: "" if value is None else value for name, value in values.items()
             if name not in ("run", "subset", "split") or name in read}  # fmt: skip
    if kind == "file":
        given["file"] = Path(upload).name
    try:
        return EvaluationConfig(**given)
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: title.get(name, name))) from error


@dataclass(frozen=True)
class AskingWidgets:
    """Attributes: fields: by the name in EvaluationConfig."""

    fields: dict[str, gr.components.Component]
    upload: gr.File
    hint: gr.Markdown
    start: gr.Button

    @property
    def lists(self) -> list[gr.components.Component]:
        return [*(self.fields[name] for name in ("run", "subset", "lanes", "model")), self.hint]

    @property
    def kinds(self) -> list[gr.components.Component]:
        return [*(self.fields[name] for name in ("run", "subset", "split")), self.upload]


def build_asking() -> AskingWidgets:
    about = EvaluationConfig.model_fields
    fields: dict[str, gr.components.Component] = {
        "prompts": gr.Radio(_SETS, value="held-out", label=about["prompts"].title, elem_id="answers-prompts"),
        "run": _field("run", [], info="Whose held-out rows are asked: it was not trained on them."),
        "subset": _field("subset", [], visible=False),
        "split": _field("split", visible=False),
    }
    upload = gr.File(
        label="Text with a prompt a line, JSONL, CSV, Parquet", file_types=_TYPES, height=110, visible=False,
        elem_id="answers-upload",
    )  # fmt: skip
    fields["lanes"] = gr.Dropdown(
        [("The base model", BASE)], value=[BASE], multiselect=True, max_choices=MAX_LANES, allow_custom_value=True,
        label=about["lanes"].title,
        info="Who answers: one to four, all on one base model.", elem_id="answers-lanes",
    )  # fmt: skip
    for pair in (_SHOWN[:2], _SHOWN[2:4], _SHOWN[4:]):
        with gr.Row(elem_classes="qs-even"):
            fields |= {name: _field(name, min_width=130) for name in pair}
    with gr.Accordion("More settings", open=False, elem_id="answers-more"):
        fields |= {name: _field(name) for name in _MORE}
        fields["model"] = _field("model", [])
    hint = gr.Markdown(NO_RUN, visible=False, elem_classes="qs-note", elem_id="answers-hint")
    start = gr.Button("Start", variant="primary", elem_id="answers-start")
    return AskingWidgets(fields, upload, hint, start)


def _field(name: str, choices: list[tuple[str, str]] | None = None, **options: Any) -> gr.components.Component:
    return build_field(EvaluationConfig, name, choices, elem_id=f"answers-field-{name}", **options)
