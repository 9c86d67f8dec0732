"""The form of a run: a preset, the knobs that apply, and other ways to fill it in or take it along."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from components.model_form import build_fields
from core.data import subset
from core.errors import StudioError
from core.models import catalogue
from core.runs.config import QLoRAConfig, applies, group_of, is_basic
from core.runs.config.fields import Group
from core.runs.presets import PRESETS, QUICK_DEMO
from core.runs.store import RunStore
from core.runs.yaml_io import command_line, from_yaml, to_yaml
from studio.train.preflight import CheckWidgets, build_checks
from studio.train.values import KNOBS, config_of

# What stands open above the groups; everything else is a group away.
FIRST_FIELDS = ["model", "subset"]
BASIC, FULL = "Basic", "All knobs"


def _deciding() -> list[str]:
    """The knobs that decide whether others apply."""
    return sorted({other for f in QLoRAConfig.model_fields.values() for other in f.json_schema_extra["when"]})


DECIDING = _deciding()


class Form:
    """What the form does; names no widget's layout."""

    def __init__(self, runs: RunStore):
        self.runs = runs

    def models(self) -> list[tuple[str, str]]:
        return [(m.label, m.name) for m in catalogue.available(self.runs.settings)]

    def subsets(self) -> list[tuple[str, str]]:
        found = reversed(subset.subsets(self.runs.settings))
        return [(f"{s.name} ({s.rows:,} + {s.held_out:,} held out)", s.name) for s in found]

    def on_load(self) -> tuple[Any, Any]:
        return gr.update(choices=self.models()), gr.update(choices=self.subsets())

    def preset(self, name: str) -> list[Any]:
        """The reason of a preset, then every field's value in the model's order."""
        chosen = PRESETS[name]
        return [chosen.reason, *self._filled(chosen.config(), keep=("subset",))]

    def from_run(self, run_id: str | None) -> list[Any]:
        if not run_id:
            raise StudioError("No run is chosen. Choose one on the right first.")
        return self._filled(self.runs.run(run_id).config())

    def from_file(self, upload: str | None) -> list[Any]:
        if not upload:
            raise StudioError("No YAML file was chosen.")
        path = Path(upload)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StudioError(f"{path.name!r} is no text file that can be read. Expected YAML.") from error
        return self._filled(from_yaml(text, repr(path.name)))

    def _filled(self, config: QLoRAConfig, keep: tuple[str, ...] = ()) -> list[Any]:
        return [gr.skip() if name in keep else value for name, value in config.model_dump().items()]

    def visible(self, extent: str, *deciding: Any) -> list[Any]:
        """Which fields and which groups are shown, in the order of KNOBS and of `groups`."""
        values = dict(zip(DECIDING, deciding, strict=True))
        defaults = {name: field.default for name, field in QLoRAConfig.model_fields.items()}
        shown = {name: (extent == FULL or is_basic(name)) and applies(name, defaults | values) for name in KNOBS}
        return [
            *(gr.update(visible=shown[name]) for name in KNOBS),
            *(gr.update(visible=any(shown[name] for name in names)) for names in groups().values()),
        ]

    def shared(self, **values: Any) -> tuple[str, str]:
        """The YAML and the command line of what the form says."""
        config = config_of(values)
        return to_yaml(config), command_line(config)


def groups() -> dict[Group, list[str]]:
    """The knobs of each group, those that stand open above left out."""
    found: dict[Group, list[str]] = {}
    for name in KNOBS:
        if name not in FIRST_FIELDS:
            found.setdefault(group_of(name), []).append(name)
    return found


@dataclass(frozen=True)
class FormWidgets:
    preset: gr.Dropdown
    reason: gr.Markdown
    extent: gr.Radio
    fields: dict[str, gr.components.Component]
    groups: list[gr.Accordion]
    start: gr.Button
    checking: CheckWidgets
    same: gr.Button
    yaml_file: gr.File
    share: gr.Button
    yaml: gr.Code
    command: gr.Code

    @property
    def in_order(self) -> list[gr.components.Component]:
        return [self.fields[name] for name in KNOBS]

    @property
    def deciding(self) -> list[gr.components.Component]:
        return [self.fields[name] for name in DECIDING]


def build_form(do: Form) -> FormWidgets:
    """Preset, its reason, every field (the first ones open, the others in their groups), the buttons."""
    preset = gr.Dropdown(list(PRESETS), value=QUICK_DEMO.name, label="Preset", filterable=False, elem_id="preset")
    reason = gr.Markdown(QUICK_DEMO.reason, elem_classes="qs-note")
    fields = build_fields(QLoRAConfig, FIRST_FIELDS, {"model": do.models(), "subset": do.subsets()})
    start = gr.Button("Start", variant="primary", elem_id="start")
    checking = build_checks()
    basic = sum(is_basic(name) for name in KNOBS)
    extents = [(f"{BASIC} ({basic})", BASIC), (f"{FULL} ({len(KNOBS)})", FULL)]
    extent = gr.Radio(extents, value=BASIC, label="Knobs", show_label=False, container=False, elem_id="extent")
    gr.Markdown("A knob that the others leave without effect is hidden.", elem_classes="qs-note")
    made: list[gr.Accordion] = []
    with gr.Column(elem_id="train-groups"):
        for group, names in groups().items():
            basic = any(is_basic(name) for name in names)
            with gr.Accordion(group, open=False, visible=basic) as accordion:
                fields |= build_fields(QLoRAConfig, names)
            made.append(accordion)
        with gr.Accordion("Take along, or take from", open=False, elem_id="sharing"):
            same = gr.Button("Same as the run on the right", elem_id="same-as-run")
            yaml_file = gr.File(label="Fill in from YAML", file_types=[".yaml", ".yml"], height=90, elem_id="yaml-file")
            share = gr.Button("Show as YAML and as a command", elem_id="share")
            code = gr.Code(language="yaml", label="YAML", lines=6, max_lines=20, interactive=False, elem_id="yaml")
            command = gr.Code(language="shell", label="Command", lines=2, interactive=False, elem_id="command")
    demo = QUICK_DEMO.config().model_dump()
    for name, value in demo.items():
        fields[name].value = value
        fields[name].visible = name in FIRST_FIELDS or (is_basic(name) and applies(name, demo))
    return FormWidgets(preset, reason, extent, fields, made, start, checking, same, yaml_file, share, code, command)
