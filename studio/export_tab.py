"""Export tab: download a trained adapter as a zip that PEFT loads."""

from typing import Any

import gradio as gr

from components.conversation import empty_html
from components.download import build_download
from core.export.adapter import base_name, base_note, write_adapter
from core.runs.store import Run, RunStore
from studio.handlers import event_handler
from studio.html import render
from studio.wiring import HEAVY, PRIVATE, UNLIMITED, connect

_NO_RUN = "No run has an adapter yet. Train one first; its adapter can then be downloaded here."


class ExportActions:
    """Event handlers of the Export tab. They hold no widgets, so tests call them directly."""

    def __init__(self, runs: RunStore):
        self.runs, self.settings = runs, runs.settings

    def refresh_list(self, run_id: str | None) -> dict[str, Any]:
        """List the runs that have an adapter, and keep the chosen one or choose the newest.

        Args:
            run_id: The chosen run.
        """
        found = [run for run in self.runs.runs() if run.adapters()]
        ids = [run.id for run in found]
        chosen = run_id if run_id in ids else next(iter(ids), None)
        titles = self.runs.titles()
        runs = gr.update(choices=[(titles.get(run.id, run.title), run.id) for run in found], value=chosen)
        return {"run": runs, **self.list_adapters(chosen)}

    def list_adapters(self, run_id: str | None) -> dict[str, Any]:
        """List the adapters of a run, choose the newest, and describe it."""
        if not run_id:
            nothing = gr.update(choices=[], value=None)
            return {"adapter": nothing, "about": empty_html(_NO_RUN), "download": gr.update(interactive=False)}
        run = self.runs.run(run_id)
        names = list(run.adapters())
        adapter = gr.update(choices=names, value=next(iter(names), None))
        return {"adapter": adapter, "about": _about_html(run), "download": gr.update(interactive=bool(names))}

    def write(self, run_id: str | None, adapter: str | None) -> str:
        """Write the chosen adapter as a zip, and return the file's path."""
        return str(write_adapter(self.settings, self.runs.run(run_id or ""), adapter or "").path)


def _about_html(run: Run) -> str:
    return render(
        "export_about", title=run.title, base=base_name(run), rank=run.config().lora_rank, note=base_note(run)
    )


def build_export_tab(runs: RunStore, demo: gr.Blocks, changes: list[Any]) -> gr.Dropdown:
    """Build the tab in the open layout, and return its list of runs.

    Args:
        runs: All runs.
        demo: The page, for its load event.
        changes: Events after which runs or adapters may have changed.
    """
    do = ExportActions(runs)
    with gr.Column(elem_id="export-tab"):
        with gr.Row():
            run = gr.Dropdown(label="Run", elem_id="export-run", scale=3, min_width=260)
            adapter = gr.Dropdown(label="Adapter", elem_id="export-adapter", filterable=False, min_width=140)
        about = gr.HTML('<div class="qs-skeleton">Loading the runs …</div>', elem_id="export-about", padding=False)
        download = build_download("Download adapter (ZIP)", "export-download", variant="primary")
    chosen = {"adapter": adapter, "about": about, "download": download.button}
    for event in (demo.load, *changes):
        connect(event, do.refresh_list, {"run_id": run}, {"run": run, **chosen}, visitor=True, **UNLIMITED)
    connect(run.input, do.list_adapters, {"run_id": run}, chosen, visitor=True, **UNLIMITED)
    download.makes(event_handler(do.write), [run, adapter], **(PRIVATE | {"show_progress": "minimal"}), **HEAVY)
    return run
