"""Form of a new run: presets, the settings that apply, import and export of settings.

The widgets come from the fields of `QLoRAConfig`, so that type, default, bounds and help are declared once. A setting
that has no effect with the others' values is hidden and keeps its value.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from components.model_form import build_fields
from components.upload_file import UploadFile
from core.errors import StudioError
from core.models import catalogue
from core.runs.config import QLoRAConfig, applies, group_of, is_basic
from core.runs.config.fields import Group
from core.runs.presets import PRESETS, QUICK_DEMO
from core.runs.store import RunStore
from core.runs.yaml_io import command_line, from_yaml, to_yaml
from studio.choices import own_subsets, subset_choices
from studio.train.marking import FORM, parse_config

FIELDS = list(QLoRAConfig.model_fields)
# Fields above the groups; all others are inside a group.
FIRST_FIELDS = ["model", "subset"]
BASIC, ALL = "Basic", "All settings"
# CSS class of the groups while they are one flat list.
_FLAT = "qs-flat"


def _fields_with_dependents() -> list[str]:
    """Return the fields whose values decide whether other fields apply."""
    return sorted({other for f in QLoRAConfig.model_fields.values() for other in f.json_schema_extra["when"]})


FIELDS_WITH_DEPENDENTS = _fields_with_dependents()


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
        """Return the models and subsets that exist now, and choose the subset that was created here last."""
        subsets = gr.update(choices=self.subsets())
        if own := own_subsets(self.runs.settings):
            subsets["value"] = own[-1].name
        return {"model": gr.update(choices=self.models()), "subset": subsets}

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
        return {name: gr.update(visible=flag) for name, flag in visibility(extent, values).items()}

    def show_extent(self, extent: str, **values: Any) -> dict[str, Any]:
        """Show the basic settings as one flat list, or all of them in closed groups."""
        return _layout(extent, values, open_groups=set())

    def reveal(self, field_errors: dict[str, Any], extent: str, **values: Any) -> dict[str, Any]:
        """Make the fields visible that an error wants to focus: show all settings, and open their groups.

        Args:
            field_errors: Value of `components.field_errors`.
            extent: BASIC or ALL.
            values: The values of FIELDS_WITH_DEPENDENTS.
        """
        names = [field["name"] for field in field_errors["fields"] if field["name"] in FIELDS]
        if not field_errors["focus"] or (extent == BASIC and all(is_basic(name) for name in names)):
            return {}
        opened = {group_output(group_of(name)) for name in names if name not in FIRST_FIELDS}
        if extent == ALL:
            return {name: gr.update(open=True) for name in opened}
        return {"extent": ALL, **_layout(ALL, values, opened)}


def visibility(extent: str, values: dict[str, Any]) -> dict[str, bool]:
    """Return whether each field and each group is shown.

    Args:
        extent: BASIC or ALL.
        values: The values of FIELDS_WITH_DEPENDENTS.
    """
    defaults = {name: field.default for name, field in QLoRAConfig.model_fields.items()}
    visible = {name: (extent == ALL or is_basic(name)) and applies(name, defaults | values) for name in FIELDS}
    # A group without a visible field would open onto nothing.
    return visible | {group_output(group): any(visible[name] for name in names) for group, names in groups().items()}


def _layout(extent: str, values: dict[str, Any], open_groups: set[str]) -> dict[str, Any]:
    """Return updates of fields, groups and their column; as a flat list, all groups are open and have no header."""
    updates = {name: gr.update(visible=flag) for name, flag in visibility(extent, values).items()}
    for group in map(group_output, groups()):
        updates[group] = gr.update(visible=updates[group]["visible"], open=extent == BASIC or group in open_groups)
    return {**updates, "column": gr.update(elem_classes=[_FLAT] if extent == BASIC else [])}


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
class FormWidgets:
    """Widgets at the top of the form: preset, model, subset.

    Attributes:
        fields: Widgets of FIRST_FIELDS by field name.
    """

    preset: gr.Dropdown
    reason: gr.Markdown
    fields: dict[str, Component]


@dataclass(frozen=True)
class SettingsWidgets:
    """Widgets of all settings, and of their import and export.

    Attributes:
        fields: Every field's widget, in the order on the page; API calls take their values in this order.
        groups: Accordions by `group_output`.
        column: Holds the groups.
        copy_run: Fills the form with the settings of the selected run.
    """

    extent: gr.Radio
    fields: dict[str, Component]
    groups: dict[str, gr.Accordion]
    column: gr.Column
    copy_run: gr.Button
    yaml_file: gr.File
    export: gr.Button
    yaml: gr.Code
    command: gr.Code

    @property
    def fields_with_dependents(self) -> dict[str, Component]:
        """Return the widgets of FIELDS_WITH_DEPENDENTS by field name."""
        return {name: self.fields[name] for name in FIELDS_WITH_DEPENDENTS}


def build_form(form: RunForm) -> FormWidgets:
    """Build the top of the form in the open layout, with the first preset chosen."""
    preset = gr.Dropdown(list(PRESETS), value=QUICK_DEMO.name, label="Preset", filterable=False, elem_id="preset")
    reason = gr.Markdown(QUICK_DEMO.reason, elem_classes="qs-note")
    fields = build_fields(FORM, QLoRAConfig, FIRST_FIELDS, {"model": form.models(), "subset": form.subsets()})
    return FormWidgets(preset, reason, fields)


def build_settings(form: FormWidgets) -> SettingsWidgets:
    """Build the groups of settings in the open layout, filled in with the first preset.

    Args:
        form: The top of the form, whose fields are filled in, too.
    """
    basic = sum(is_basic(name) for name in FIELDS)
    extents = [(f"{BASIC} ({basic})", BASIC), (f"{ALL} ({len(FIELDS)})", ALL)]
    extent = gr.Radio(extents, value=BASIC, label="Settings", show_label=False, container=False, elem_id="extent")
    fields, accordions = dict(form.fields), {}
    with gr.Column(elem_id="train-groups", elem_classes=_FLAT) as column:
        for group, names in groups().items():
            with gr.Accordion(group, open=True, visible=any(is_basic(name) for name in names)) as accordion:
                fields |= build_fields(FORM, QLoRAConfig, names)
            accordions[group_output(group)] = accordion
    gr.Markdown("Settings that have no effect with the current choices are hidden.", elem_classes="qs-note")
    with gr.Accordion("Import / export settings", open=False, elem_id="sharing"):
        copy_run = gr.Button("Copy settings of the selected run", size="sm", elem_id="same-as-run")
        yaml_file = UploadFile(label="Import YAML", file_types=[".yaml", ".yml"], height=90, elem_id="yaml-file")
        export = gr.Button("Show as YAML and command", size="sm", elem_id="share")
        code = gr.Code(language="yaml", label="YAML", lines=6, max_lines=20, interactive=False, elem_id="yaml")
        command = gr.Code(language="shell", label="Command", lines=2, interactive=False, elem_id="command")
    preset = QUICK_DEMO.config().model_dump()
    shown = visibility(BASIC, preset)
    for name, value in preset.items():
        fields[name].value = value
        fields[name].visible = name in FIRST_FIELDS or shown[name]
    return SettingsWidgets(extent, fields, accordions, column, copy_run, yaml_file, export, code, command)
