"""Connections of the left side of the Train tab: the settings, the checks, and Start."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.components import Component

from studio.html import read_static
from studio.job_bars import JobBars
from studio.train.duplicate import CopyWidgets
from studio.train.form import FormWidgets, RunForm, SettingsWidgets
from studio.train.marking import MarkWidgets, mark_left_field, marks_fields
from studio.train.preflight import DRY_RUN, Preflight
from studio.train.start import Starter
from studio.train.start_bar import PreflightWidgets, StartWidgets
from studio.wiring import LATEST_ONLY, UNLIMITED, Named, connect


@dataclass(frozen=True)
class LeftSide:
    """All widgets of the left side."""

    form: FormWidgets
    settings: SettingsWidgets
    marks: MarkWidgets
    starting: StartWidgets
    preflight: PreflightWidgets
    copy: CopyWidgets

    @property
    def fields(self) -> dict[str, Component]:
        """Return every field's widget by field name."""
        return self.settings.fields


def connect_form(do: RunForm, side: LeftSide, run: gr.Dropdown, demo: gr.Blocks) -> None:
    """Connect presets, import and export, visibility and marks.

    Args:
        do: The handlers.
        side: The widgets.
        run: The selected run.
        demo: The page, for its load event.
    """
    form, settings, fields, marks = side.form, side.settings, side.fields, side.marks
    lists = {"model": fields["model"], "subset": fields["subset"]}
    connect(demo.load, do.refresh_choices, outputs=lists, **UNLIMITED)
    preset_outputs = {"reason": form.reason, **fields}
    connect(form.preset.change, do.apply_preset, {"preset": form.preset}, preset_outputs, **UNLIMITED)
    connect(settings.copy_run.click, do.copy_run, {"run_id": run}, fields, **UNLIMITED)
    connect(settings.yaml_file.upload, do.import_yaml, {"upload": settings.yaml_file}, fields, **UNLIMITED)
    exported = {"yaml": settings.yaml, "command": settings.command, **marks.outputs}
    connect(settings.export.click, marks_fields(do.export_settings), fields, exported, **UNLIMITED)
    dependents = settings.fields_with_dependents
    deciding = {"extent": settings.extent, **dependents}
    shown = {**fields, **settings.groups}
    for widget in dependents.values():
        connect(widget.change, do.update_visibility, deciding, shown, **UNLIMITED)
    layout = {**shown, "column": settings.column}
    connect(settings.extent.input, do.show_extent, deciding, layout, **UNLIMITED)
    left = [field.blur for field in fields.values() if isinstance(field, (gr.Number, gr.Textbox))]
    checked = {"marked": marks.marked, **fields}
    connect(partial(gr.on, left), mark_left_field, checked, marks.outputs, **UNLIMITED, **LATEST_ONLY)
    wanted = {"field_errors": marks.errors, **deciding}
    connect(marks.errors.change, do.reveal, wanted, {"extent": settings.extent, **layout}, **UNLIMITED)


def connect_start(
    do: Starter, side: LeftSide, shown: Named, with_archived: gr.Checkbox, views: gr.Tabs,
    changes: list[Callable[..., Any]],
) -> None:  # fmt: skip
    """Connect Start, its card, and the time of the run.

    Args:
        do: The handlers.
        side: The widgets.
        shown: What shows the run that was started: `run`, which selects it, `starting`, `status` and `sent`.
        with_archived: Whether archived runs are listed.
        views: The tabs "run", which shows it, and "all".
        changes: Events after which the time may be another one, besides changes of the settings.
    """
    starting, fields, marks = side.starting, side.fields, side.marks
    values, parent = {"with_archived": with_archived, **fields}, {"parent": side.copy.parent, "last": starting.last}
    card = {**starting.card_outputs, **marks.outputs}
    outputs = {**shown, "stage": starting.stage, "checked": side.preflight.checked, "last": starting.last, **card}
    # A state is no argument of an API call, so it comes last.
    accepted = {**values, "accept_warnings": starting.accept_warnings, **parent}
    hidden = {"show_progress": "hidden"}
    started = connect(starting.start.click, marks_fields(do.start), accepted, outputs, api_name="start_run", **hidden)
    private, inputs = {"api_visibility": "private", **hidden}, {**values, **parent}
    anyway = connect(starting.anyway.click, marks_fields(do.start_anyway), inputs, outputs, **private)
    for start in (started, anyway):
        opened = connect(
            start.success, lambda: {"views": gr.update(selected="run")}, outputs={"views": views}, **UNLIMITED
        )
        # Only the page knows what is in sight, and only once the view of the run is open.
        opened.success(None, js=read_static("show_part.js").replace("PART", "run-row"))
    connect(starting.change.click, do.change_settings, {"refusal": starting.refusal}, card, **UNLIMITED)
    present = {"refusal": starting.refusal, "marked": marks.marked, **fields}
    # One event for all settings, of whose triggers only the last is kept: a preset changes dozens of them at once.
    changed = partial(gr.on, [*(widget.change for widget in fields.values()), *changes])
    connect(changed, do.update, present, {"time": starting.time, **card}, **UNLIMITED, **LATEST_ONLY)


def connect_preflight(do: Preflight, side: LeftSide, bars: JobBars) -> None:
    """Connect the checks, the smallest change that fits, and the dry run."""
    preflight, fields, marks = side.preflight, side.fields, side.marks.outputs
    checked = {**preflight.check_outputs, "stage": side.starting.stage, **marks}
    hidden = {"show_progress": "hidden"}
    connect(preflight.check.click, marks_fields(do.check), fields, checked, api_name="check_run", **hidden)
    changed = connect(preflight.make_fit.click, marks_fields(do.make_fit), fields, {**fields, **marks}, **UNLIMITED)
    connect(changed.then, marks_fields(do.check), fields, checked, **UNLIMITED)
    shown = {"measured": preflight.measured, "checked": preflight.checked}
    job = bars.add(preflight.bar, DRY_RUN, shown=shown, finish=do.show_measured)
    outputs = {**job.outputs, **marks}
    connect(preflight.measure.click, marks_fields(do.dry_run), fields, outputs, api_name="dry_run", **hidden)
    results = {"checked": preflight.checked}
    connect(preflight.close.click, lambda: {"checked": gr.update(visible=False)}, outputs=results, **UNLIMITED)
