"""Widgets of the form of a new evaluation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from components.field_errors import build_field_errors
from components.model_form import build_field
from components.page_html import PageHTML
from components.upload_file import UploadFile
from core.chat.sampling import Sampling
from core.chat.turns import BASE, MAX_LANES
from core.evaluate.config import EvaluationConfig
from studio.choices import UPLOAD_LABEL, UPLOAD_SUFFIXES

NO_RUN = (
    "No run has an adapter yet. Train one in the Train tab; until then the base model can answer a subset or a file."
)
PROMPT_KINDS = [("A run's held-out rows", "held-out"), ("A subset", "subset"), ("A file of prompts", "file")]
_FIRST_FIELDS = ("limit", "max_new_tokens")
# In pairs below each other, under Settings.
_SETTINGS = ("temperature", "seed", "quantization", "compute_dtype")
_TEXT_FIELDS = ("system", "stop")
_OTHER_SAMPLING = tuple(
    name for name in Sampling.model_fields if name not in (*_FIRST_FIELDS, *_SETTINGS, *_TEXT_FIELDS)
)
_PLAIN_FIELDS = (*_OTHER_SAMPLING, "rows", "turns", "loss_rows")
_MORE_FIELDS = (*_TEXT_FIELDS, *_PLAIN_FIELDS)
_MODEL_FIELDS = ("model", "bert_score")
NUMBERS = tuple(
    name
    for name in (*_FIRST_FIELDS, *_SETTINGS, *_MORE_FIELDS)
    if EvaluationConfig.model_fields[name].annotation in (int, float)
)
FORM = "evaluate"
# Fields whose elements `build_field` does not make.
ELEMENTS = {"prompts": "evaluate-prompts", "lanes": "evaluate-lanes", "file": "evaluate-upload"}


def is_among_settings(names: Collection[str]) -> bool:
    """Return whether one of the fields is in the part that is closed at first."""
    return any(name in (*_SETTINGS, *_MORE_FIELDS, *_MODEL_FIELDS) for name in names)


@dataclass(frozen=True)
class StartFormWidgets:
    """Widgets of the form.

    Attributes:
        fields: By field name of EvaluationConfig.
        upload: The file of prompts.
        hint: Shown as long as no run has an adapter.
        proposed: The run and the lane that the page itself selected (`StartForm.refresh_choices`).
        errors: Marks invalid fields.
        more: The part with the fields that few need.
        power: The difference that the chosen prompts can detect (`PowerHint`).
    """

    fields: dict[str, Component]
    upload: gr.File
    hint: gr.Markdown
    start: gr.Button
    proposed: gr.State
    errors: PageHTML
    more: gr.Accordion
    power: gr.HTML

    @property
    def choice_outputs(self) -> dict[str, Component]:
        """Return the components that `refresh_choices` updates, by name."""
        return {
            **{name: self.fields[name] for name in ("run", "subset", "lanes", *_MODEL_FIELDS)},
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
        "prompts": gr.Radio(PROMPT_KINDS, value="held-out", label=about["prompts"].title, elem_id="evaluate-prompts"),
        "run": _field("run", [], info="Its held-out rows are the prompts; it was not trained on them."),
        "subset": _field("subset", [], visible=False),
        "split": _field("split", visible=False),
    }
    upload = UploadFile(
        label=UPLOAD_LABEL, file_types=UPLOAD_SUFFIXES, height=110, visible=False, elem_id="evaluate-upload",
    )  # fmt: skip
    fields["task"] = _field("task")
    fields["lanes"] = gr.Dropdown(
        [("Base model", BASE)], value=[BASE], multiselect=True, max_choices=MAX_LANES, allow_custom_value=True,
        label=about["lanes"].title, info="One to four, all on one base model.", elem_id="evaluate-lanes",
    )  # fmt: skip
    fields |= _row(_FIRST_FIELDS)
    fields |= {name: _field(name) for name in ("guard", "lens")}
    hint = gr.Markdown(NO_RUN, visible=False, elem_classes="qs-note", elem_id="evaluate-hint")
    with gr.Accordion("Settings", open=False, elem_id="evaluate-more-settings") as more:
        fields |= _row(_SETTINGS[:2]) | _row(_SETTINGS[2:])
        fields |= {name: _field(name) for name in _TEXT_FIELDS}
        for index in range(0, len(_PLAIN_FIELDS), 2):
            fields |= _row(_PLAIN_FIELDS[index : index + 2])
        fields |= {name: _field(name, []) for name in _MODEL_FIELDS}
    power = gr.HTML(elem_id="evaluate-power", padding=False)
    start = gr.Button("Evaluate", variant="primary", elem_id="evaluate-start")
    errors = build_field_errors("evaluate-field-errors")
    return StartFormWidgets(fields, upload, hint, start, gr.State({}), errors, more, power)


def _row(names: Sequence[str]) -> dict[str, Component]:
    """Build fields beside each other."""
    with gr.Row(elem_classes="qs-even"):
        return {name: _field(name, min_width=130) for name in names}


def _field(name: str, choices: list[tuple[str, str]] | None = None, **options: Any) -> Component:
    return build_field(FORM, EvaluationConfig, name, choices, **options)
