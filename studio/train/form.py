"""Form of a new run: presets, the settings that apply, import and export of settings.

The widgets come from the fields of `QLoRAConfig`, so that type, default, bounds and help are declared once. A setting
that has no effect with the others' values is hidden and keeps its value.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError

from components.model_form import build_fields
from core.errors import StudioError, sentences
from core.models import catalogue
from core.runs.config import TITLES, QLoRAConfig, applies, group_of, is_basic
from core.runs.config.fields import Group
from core.runs.presets import PRESETS, QUICK_DEMO
from core.runs.store import RunStore
from core.runs.yaml_io import command_line, from_yaml, to_yaml
from studio.choices import subset_choices

FIELDS = list(QLoRAConfig.model_fields)
# Fields above the groups; all others are inside a group.
FIRST_FIELDS = ["model", "subset"]
BASIC, ALL = "Basic", "All settings"


def _fields_with_dependents() -> list[str]:
    """Return the fields whose values decide whether other fields apply."""
    return sorted({other for f in QLoRAConfig.model_fields.values() for other in f.json_schema_extra["when"]})


FIELDS_WITH_DEPENDENTS = _fields_with_dependents()


def parse_config(values: dict[str, Any]) -> QLoRAConfig:
    """Return the form's values as a configuration.

    Args:
        values: Widget values by field name; None stands for an empty widget.

    Raises:
        StudioError: Values are missing or invalid. It names every such field with its group, because the group
            may be closed.
    """
    titles = {name: f"{TITLES[name]} (under {group_of(name)})" for name in values if name in TITLES}
    numbers = [name for name in titles if QLoRAConfig.model_fields[name].annotation in (int, float)]
    if empty := [titles[name] for name in numbers if values[name] is None or values[name] == ""]:
        raise StudioError("\n".join(f"{title} is empty. Enter a value, or choose the preset again." for title in empty))
    try:
        return QLoRAConfig(**{name: "" if value is None else value for name, value in values.items()})
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: titles.get(name, name))) from error


class RunForm:
    """Event handlers of the form; `{field: value}` results fill the widgets of those fields."""

    def __init__(self, runs: RunStore):
        self.runs = runs

    def models(self) -> list[tuple[str, str]]:
        """Return (label, name) of every model that can be trained."""
        return [(m.label, m.name) for m in catalogue.available(self.runs.settings)]

    def subsets(self) -> list[tuple[str, str]]:
        """Return (label, name) of every subset, the newest first."""
        return subset_choices(self.runs.settings)

    def refresh_choices(self) -> dict[str, Any]:
        """Return the models and subsets that exist now."""
        return {"model": gr.update(choices=self.models()), "subset": gr.update(choices=self.subsets())}

    def apply_preset(self, preset: str) -> dict[str, Any]:
        """Return the preset's reason and its value of every field, except which rows are trained on."""
        chosen = PRESETS[preset]
        return {"reason": chosen.reason, **chosen.config().model_dump(exclude={"subset"})}

    def copy_run(self, run_id: str | None) -> dict[str, Any]:
        """Return the settings of a run."""
        if not run_id:
            raise StudioError("No run is selected. Select one in the list of runs first.")
        return self.runs.run(run_id).config().model_dump()

    def import_yaml(self, upload: str | None) -> dict[str, Any]:
        """Return the settings in an uploaded YAML file."""
        if not upload:
            raise StudioError("No YAML file is selected. Select one first.")
        path = Path(upload)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StudioError(f"{path.name!r} cannot be read as text. Choose a YAML file in UTF-8.") from error
        return from_yaml(text, repr(path.name)).model_dump()

    def export_settings(self, **values: Any) -> dict[str, str]:
        """Return the form's settings as YAML and as a command line."""
        config = parse_config(values)
        return {"yaml": to_yaml(config), "command": command_line(config)}

    def update_visibility(self, extent: str, **values: Any) -> dict[str, Any]:
        """Show the fields that apply, and the groups that have such a field.

        Args:
            extent: BASIC or ALL.
            values: The values of FIELDS_WITH_DEPENDENTS.
        """
        defaults = {name: field.default for name, field in QLoRAConfig.model_fields.items()}
        visible = {name: (extent == ALL or is_basic(name)) and applies(name, defaults | values) for name in FIELDS}
        # A group without a visible field would open onto nothing.
        visible |= {group_output(group): any(visible[name] for name in names) for group, names in groups().items()}
        return {name: gr.update(visible=flag) for name, flag in visible.items()}


def groups() -> dict[Group, list[str]]:
    """Return the fields of each group, without FIRST_FIELDS."""
    found: dict[Group, list[str]] = {}
    for name in FIELDS:
        if name not in FIRST_FIELDS:
            found.setdefault(group_of(name), []).append(name)
    return found


def group_output(group: Group) -> str:
    """Return the output name of a group's accordion; the space keeps it apart from all field names."""
    return f"group {group}"


@dataclass(frozen=True)
class StartWidgets:
    """Widgets at the top of the form: preset, model, subset, Start.

    Attributes:
        fields: Widgets of FIRST_FIELDS by field name.
    """

    preset: gr.Dropdown
    reason: gr.Markdown
    fields: dict[str, Component]
    start: gr.Button


@dataclass(frozen=True)
class SettingsWidgets:
    """Widgets of all settings, and of their import and export.

    Attributes:
        fields: Every field's widget, in the order on the page; API calls take their values in this order.
        groups: Accordions by `group_output`.
        copy_run: Fills the form with the settings of the selected run.
    """

    extent: gr.Radio
    fields: dict[str, Component]
    groups: dict[str, gr.Accordion]
    copy_run: gr.Button
    yaml_file: gr.File
    export: gr.Button
    yaml: gr.Code
    command: gr.Code

    @property
    def fields_with_dependents(self) -> dict[str, Component]:
        """Return the widgets of FIELDS_WITH_DEPENDENTS by field name."""
        return {name: self.fields[name] for name in FIELDS_WITH_DEPENDENTS}


def build_start(form: RunForm) -> StartWidgets:
    """Build the top of the form in the open layout, with the first preset chosen."""
    preset = gr.Dropdown(list(PRESETS), value=QUICK_DEMO.name, label="Preset", filterable=False, elem_id="preset")
    reason = gr.Markdown(QUICK_DEMO.reason, elem_classes="qs-note")
    fields = build_fields(QLoRAConfig, FIRST_FIELDS, {"model": form.models(), "subset": form.subsets()})
    return StartWidgets(preset, reason, fields, gr.Button("Start", variant="primary", elem_id="start"))


def build_settings(start: StartWidgets) -> SettingsWidgets:
    """Build the groups of settings in the open layout, filled in with the first preset.

    Args:
        start: The top of the form, whose fields are filled in, too.
    """
    basic = sum(is_basic(name) for name in FIELDS)
    extents = [(f"{BASIC} ({basic})", BASIC), (f"{ALL} ({len(FIELDS)})", ALL)]
    extent = gr.Radio(extents, value=BASIC, label="Settings", show_label=False, container=False, elem_id="extent")
    gr.Markdown("Settings that have no effect with the current choices are hidden.", elem_classes="qs-note")
    fields, accordions = dict(start.fields), {}
    with gr.Column(elem_id="train-groups"):
        for group, names in groups().items():
            with gr.Accordion(group, open=False, visible=any(is_basic(name) for name in names)) as accordion:
                fields |= build_fields(QLoRAConfig, names)
            accordions[group_output(group)] = accordion
        with gr.Accordion("Import / export settings", open=False, elem_id="sharing"):
            copy_run = gr.Button("Copy settings of the selected run", elem_id="same-as-run")
            yaml_file = gr.File(label="Import YAML", file_types=[".yaml", ".yml"], height=90, elem_id="yaml-file")
            export = gr.Button("Show as YAML and command", elem_id="share")
            code = gr.Code(language="yaml", label="YAML", lines=6, max_lines=20, interactive=False, elem_id="yaml")
            command = gr.Code(language="shell", label="Command", lines=2, interactive=False, elem_id="command")
    preset = QUICK_DEMO.config().model_dump()
    for name, value in preset.items():
        fields[name].value = value
        fields[name].visible = name in FIRST_FIELDS or (is_basic(name) and applies(name, preset))
    return SettingsWidgets(extent, fields, accordions, copy_run, yaml_file, export, code, command)
