"""Export tab: download a trained adapter for PEFT, or its model merged, as GGUF or for Ollama."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.components import Component

from components.conversation import empty_html, skeleton_html
from components.download import Download, build_download
from components.progress_bar import ProgressBar, build_progress_bar
from core.access import roles
from core.access.roles import CLOSED
from core.errors import StudioError
from core.export.adapter import list_files, write_adapter
from core.export.card.facts import base_name, base_note, zip_folder
from core.export.card.loading import INSTALL, example_code, list_serving
from core.export.config import FORMS
from core.runs import example
from core.runs.adapters import adapter_folder
from core.runs.store import Run, RunStore
from core.settings import Settings
from core.system.sizes import format_size
from studio.export_checks import build_export_checks
from studio.export_combine import list_others
from studio.export_files import ExportFiles, build_export_files, connect_export_files
from studio.export_hub import build_hub_parts
from studio.export_job import OF_SIZE, ExportJobs, build_settings
from studio.handlers import event_handler, info
from studio.html import read_static, render
from studio.job_bars import JobBars
from studio.job_progress import job_outputs
from studio.wiring import HEAVY, PRIVATE, UNLIMITED, connect

_RUNS, _ADAPTER = "Every run that has an adapter.", "The last step, or a checkpoint."
_NO_ADAPTER = "There is none, because no run has an adapter yet."
_NO_RUN = "No run has an adapter yet. Train one first; its adapter can then be downloaded here."


class ExportActions:
    """Event handlers of the Export tab. They hold no widgets, so tests call them directly."""

    def __init__(self, runs: RunStore):
        self.runs, self.settings = runs, runs.settings

    def refresh_list(
        self, run_id: str | None, adapter: str | None = None, proposed: str | None = None
    ) -> dict[str, Any]:
        """List the runs that have an adapter, and keep the one that the user chose or propose the newest result.

        Args:
            run_id: The run that the page shows.
            adapter: The adapter of it that the page shows.
            proposed: The run that the page itself proposed, as the last call returned it; a newer result replaces it.
        """
        found = [run for run in self.runs.runs() if run.adapters()]
        newest = example.newest_result(found)
        is_chosen = run_id in [run.id for run in found] and run_id != proposed
        chosen = run_id if is_chosen else newest and newest.id
        titles = self.runs.titles()
        runs = gr.update(
            choices=[(titles.get(run.id, run.title), run.id) for run in found], value=chosen,
            info=_RUNS if found else _NO_RUN,
        )  # fmt: skip
        kept = adapter if chosen == run_id else None
        listed = self.list_adapters(chosen, kept)
        if chosen == run_id:
            # The adapters that were chosen to be combined stay chosen.
            listed["also"].pop("value", None)
        return {"run": runs, "proposed": "" if is_chosen else chosen or "", **listed}

    def list_adapters(self, run_id: str | None, kept: str | None = None) -> dict[str, Any]:
        """List the adapters of a run, choose the newest or the one that is kept, and describe it."""
        if not run_id:
            nothing = gr.update(choices=[], value=None, info=_NO_ADAPTER)
            return {
                "adapter": nothing, "about": empty_html(_NO_RUN), "download": gr.update(interactive=False),
                "also": gr.update(choices=[], value=[], info=_NO_ADAPTER),
            }  # fmt: skip
        run = self.runs.run(run_id)
        names = list(run.adapters())
        if not names:
            raise StudioError(f"The run {run.title} has no adapter any more. Choose another one from the list.")
        # A checkpoint that was chosen stays chosen. If the newest adapter was chosen, the page follows the run: a newer
        # one takes its place.
        chosen = kept if kept in names[1:] else names[0]
        return {
            "adapter": gr.update(choices=names, value=chosen, info=_ADAPTER),
            "about": _about_html(self.settings, run, chosen),
            # A visitor reads the reason in its place.
            "download": gr.update(interactive=True)
            if roles.caller().is_owner
            else gr.update(interactive=False, visible=False),
            "also": list_others(self.runs, run.id),
        }

    def describe(self, run_id: str | None, adapter: str | None) -> dict[str, Any]:
        """Describe the chosen adapter and the files of its zip."""
        return {"about": _about_html(self.settings, self.runs.run(run_id or ""), adapter or "")}

    def write(self, run_id: str | None, adapter: str | None) -> str:
        """Write the chosen adapter as a zip, and return the file's path."""
        run = self.runs.run(run_id or "")
        with run.notice_deletion(run.title, "exported"):
            written = write_adapter(self.settings, run, adapter or "")
        info(f"{format_size(written.size)}. Its README shows how to ask it a question.", title=f"Exported {run.title}")
        return str(written.path)


def _about_html(settings: Settings, run: Run, adapter: str) -> str:
    listed = list_files(settings, run, adapter)
    served = list_serving(run, "adapter", zip_folder(run, adapter), adapter_folder(run, adapter))
    files = [(name, "made with the ZIP" if size is None else format_size(size)) for name, size in listed]
    return render(
        "export_about", title=run.title, adapter=adapter, base=base_name(run), rank=run.config().lora_rank,
        kind="A classifier with its head, an adapter" if run.config().classifies else "A LoRA adapter",
        note=base_note(run), files=files, install=INSTALL, code=example_code(run, adapter), served=served,
        closed="" if roles.caller().is_owner else f"Only the owner can download it. {CLOSED}",
    )  # fmt: skip


@dataclass(frozen=True)
class ExportWidgets:
    """Widgets of the tab.

    Attributes:
        run: The list of runs.
        adapter: The list of a run's adapters.
        form: The form of the export.
        download: Writes and downloads an adapter's zip.
        start: Starts the export of a merged model.
        form_text: Describes the form.
        settings_row: The row of the settings.
        settings: The settings by field name.
        bar: The progress of an export.
        file: Downloads the exported file.
        result: The exported file and its comparison.
        about: Describes the adapter's zip.
        files: Lists the finished files.
        listed: Downloads one of them.
    """

    run: gr.Dropdown
    adapter: gr.Dropdown
    form: gr.Dropdown
    download: Download
    start: gr.Button
    form_text: gr.HTML
    settings_row: gr.Row
    settings: dict[str, Component]
    bar: ProgressBar
    file: gr.DownloadButton
    result: gr.HTML
    about: gr.HTML
    files: gr.HTML
    listed: Download


def build_export_tab(runs: RunStore, bars: JobBars, demo: gr.Blocks, changes: list[Any]) -> gr.Dropdown:
    """Build the tab in the open layout, and return its list of runs.

    Args:
        runs: All runs.
        bars: Progress bars of all jobs.
        demo: The page, for its load event.
        changes: Events after which runs or adapters may have changed.
    """
    widgets, proposed = _build_widgets(), gr.State("")
    loaded, downloaded = _connect_adapters(ExportActions(runs), widgets, proposed, [demo.load, *changes])
    ended = _connect_forms(ExportJobs(runs, bars.jobs), widgets, proposed, loaded.then)
    written = [demo.load, *changes, downloaded.success, *ended]
    connect_export_files(ExportFiles(runs.settings), widgets.files, widgets.listed, written)
    build_export_checks(runs, bars, widgets.run, widgets.adapter, widgets.form)
    build_hub_parts(runs, bars, demo, widgets.run)
    return widgets.run


def _build_widgets() -> ExportWidgets:
    with gr.Row(elem_id="export-form"):
        run = gr.Dropdown(label="Run", info=_RUNS, elem_id="export-run", scale=3, min_width=200)
        adapter = gr.Dropdown(
            label="Adapter", info=_ADAPTER, elem_id="export-adapter", filterable=False,
            scale=2, min_width=200,
        )  # fmt: skip
        form = gr.Dropdown(
            [(about.label, name) for name, about in FORMS.items()], value="adapter", label="Form",
            info="What the file holds, and who reads it.", elem_id="export-form-choice", filterable=False, scale=2,
            min_width=200,
        )  # fmt: skip
        download = build_download("Download adapter (ZIP)", "export-download", variant="primary", size="lg")
    form_text = gr.HTML(elem_id="export-form-text", padding=False)
    with gr.Row(elem_id="export-settings", elem_classes="qs-even", visible=False) as settings_row:
        settings = build_settings()
    # Below the settings, so that the progress and the result appear at the button, also on a phone.
    start = gr.Button("Export", variant="primary", size="lg", elem_id="export-start", visible=False)
    bar = build_progress_bar("export-progress")
    file = gr.DownloadButton("Download", elem_id="export-file", visible=False, variant="primary")
    result = gr.HTML(elem_id="export-result", padding=False, js_on_load=read_static("copy_code.js"))
    about = gr.HTML(
        skeleton_html("Loading the runs …"), js_on_load=read_static("copy_code.js"),
        elem_id="export-about", padding=False,
    )  # fmt: skip
    files = build_export_files()
    return ExportWidgets(
        run, adapter, form, download, start, form_text, settings_row, settings, bar, file, result, about, *files
    )


def _connect_adapters(
    do: ExportActions, widgets: ExportWidgets, proposed: gr.State, changes: list[Any]
) -> tuple[Any, Any]:
    """Connect the lists of runs and adapters, and the download of a zip.

    Returns:
        The event of the first change, and that of the download.
    """
    run, adapter, about = widgets.run, widgets.adapter, widgets.about
    also = widgets.settings["also"]
    chosen = {"adapter": adapter, "about": about, "download": widgets.download.button, "also": also}
    shown, listed = {"run_id": run, "adapter": adapter, "proposed": proposed}, {"run": run, "proposed": proposed}
    refreshed = [
        connect(event, do.refresh_list, shown, {**listed, **chosen}, visitor=True, **UNLIMITED) for event in changes
    ]
    connect(run.input, do.list_adapters, {"run_id": run}, chosen, visitor=True, **UNLIMITED)
    named = {"run_id": run, "adapter": adapter}
    connect(adapter.input, do.describe, named, {"about": about}, visitor=True, **UNLIMITED)
    options = PRIVATE | {"show_progress": "minimal"}
    return refreshed[0], widgets.download.makes(event_handler(do.write), [run, adapter], **options, **HEAVY)


def _connect_forms(
    do: ExportJobs, widgets: ExportWidgets, proposed: gr.State, listed: Callable[..., Any]
) -> list[Callable[..., Any]]:
    """Connect the choice of a form, and the export of a merged model; return the events of a written file.

    Args:
        do: The handlers.
        widgets: The widgets.
        proposed: The run that the page itself proposed.
        listed: The event after which a page that was loaded has the list of runs.
    """
    shown = {"result": widgets.result, "file": widgets.file}
    of_form = {
        **widgets.settings, "settings_row": widgets.settings_row, "download": widgets.download.button,
        "start": widgets.start, "form_text": widgets.form_text, "about": widgets.about, **shown,
    }  # fmt: skip
    several = {"form": widgets.form, "also": widgets.settings["also"]}
    of_size = {name: widgets.settings[name] for name in OF_SIZE}
    described = {**several, "run_id": widgets.run, "adapter": widgets.adapter, **of_size}
    connect(widgets.form.input, do.choose_form, described, of_form, visitor=True, **UNLIMITED)
    text = {"start": widgets.start, "form_text": widgets.form_text}
    decisive = [one.change for one in (widgets.run, widgets.adapter, several["also"], *of_size.values())]
    connect(partial(gr.on, decisive), do.describe, described, text, visitor=True, **UNLIMITED)
    connect(
        several["also"].change, do.show_combination, several,
        {name: widgets.settings[name] for name in ("combination", "weight")}, visitor=True, **UNLIMITED,
    )  # fmt: skip
    job = gr.State(None)
    chosen = {"run_id": widgets.run, "adapter": widgets.adapter, "form": widgets.form, **widgets.settings}
    followed = {**job_outputs(widgets.bar, job), **shown, "form": widgets.form}
    # The button also works while an export runs; pressing it then reports that.
    at_once = {"show_progress": "hidden", "concurrency_limit": None, "trigger_mode": "multiple"}
    started = connect(widgets.start.click, do.start, chosen, followed, api_name="export_run", **at_once)
    all_shown = {**of_form, **followed, "run": widgets.run, "adapter": widgets.adapter, "proposed": proposed}
    watched = [connect(event, do.watch, {"job": job}, all_shown, **UNLIMITED) for event in (listed, started.failure)]
    for ended in (started, *watched):
        # Only the browser knows which part of the page is in view.
        ended.success(None, js=read_static("show_verdict.js"))
    connect(widgets.bar.cancel.click, do.cancel, {"job": job}, **UNLIMITED)
    return [ended.success for ended in (started, *watched)]
