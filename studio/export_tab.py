"""Export tab: download a trained adapter as a zip that PEFT loads."""

from typing import Any

import gradio as gr

from components.conversation import empty_html, skeleton_html
from components.download import build_download
from core.errors import StudioError
from core.export.adapter import INSTALL, base_name, base_note, example_code, list_files, write_adapter
from core.runs import example
from core.runs.store import Run, RunStore
from core.system.sizes import format_size
from studio.handlers import event_handler, info
from studio.html import read_static, render
from studio.wiring import HEAVY, PRIVATE, UNLIMITED, connect

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
            proposed: The run that the page itself proposed, as the last call returned it: a newer result replaces it.
        """
        found = [run for run in self.runs.runs() if run.adapters()]
        newest = example.newest_result(found)
        is_chosen = run_id in [run.id for run in found] and run_id != proposed
        chosen = run_id if is_chosen else newest and newest.id
        titles = self.runs.titles()
        runs = gr.update(choices=[(titles.get(run.id, run.title), run.id) for run in found], value=chosen)
        kept = adapter if chosen == run_id else None
        return {"run": runs, "proposed": "" if is_chosen else chosen or "", **self.list_adapters(chosen, kept)}

    def list_adapters(self, run_id: str | None, kept: str | None = None) -> dict[str, Any]:
        """List the adapters of a run, choose the newest or the one that is kept, and describe it."""
        if not run_id:
            nothing = gr.update(choices=[], value=None)
            return {"adapter": nothing, "about": empty_html(_NO_RUN), "download": gr.update(interactive=False)}
        run = self.runs.run(run_id)
        names = list(run.adapters())
        if not names:
            raise StudioError(f"The run {run.title} has no adapter any more. Choose another one from the list.")
        # A checkpoint that was chosen stays chosen. If the newest adapter was chosen, a newer one takes its place:
        # a run in training writes further ones.
        chosen = kept if kept in names[1:] else names[0]
        adapter = gr.update(choices=names, value=chosen)
        return {"adapter": adapter, "about": _about_html(run, chosen), "download": gr.update(interactive=True)}

    def describe(self, run_id: str | None, adapter: str | None) -> dict[str, Any]:
        """Describe the chosen adapter and the files of its zip."""
        return {"about": _about_html(self.runs.run(run_id or ""), adapter or "")}

    def write(self, run_id: str | None, adapter: str | None) -> str:
        """Write the chosen adapter as a zip, and return the file's path."""
        run = self.runs.run(run_id or "")
        written = write_adapter(self.settings, run, adapter or "")
        info(f"{format_size(written.size)}. Its README shows how to ask it a question.", title=f"Exported {run.title}")
        return str(written.path)


def _about_html(run: Run, adapter: str) -> str:
    files = [(name, format_size(size)) for name, size in list_files(run, adapter)]
    return render(
        "export_about", title=run.title, adapter=adapter, base=base_name(run), rank=run.config().lora_rank,
        kind="A classifier with its head, an adapter" if run.config().classifies else "A LoRA adapter",
        note=base_note(run), files=files, install=INSTALL, code=example_code(run, adapter),
    )  # fmt: skip


def build_export_tab(runs: RunStore, demo: gr.Blocks, changes: list[Any]) -> gr.Dropdown:
    """Build the tab in the open layout, and return its list of runs.

    Args:
        runs: All runs.
        demo: The page, for its load event.
        changes: Events after which runs or adapters may have changed.
    """
    do = ExportActions(runs)
    with gr.Row(elem_id="export-form"):
        run = gr.Dropdown(
            label="Run", info="Every run that has an adapter.", elem_id="export-run", scale=3, min_width=200
        )
        adapter = gr.Dropdown(
            label="Adapter",
            info="The last step, or a checkpoint.",
            elem_id="export-adapter",
            filterable=False,
            scale=2,
            min_width=200,
        )
        download = build_download("Download adapter (ZIP)", "export-download", variant="primary", size="lg")
    about = gr.HTML(
        skeleton_html("Loading the runs …"), js_on_load=read_static("copy_code.js"),
        elem_id="export-about", padding=False,
    )  # fmt: skip
    chosen = {"adapter": adapter, "about": about, "download": download.button}
    proposed = gr.State("")
    shown, listed = {"run_id": run, "adapter": adapter, "proposed": proposed}, {"run": run, "proposed": proposed}
    for event in (demo.load, *changes):
        connect(event, do.refresh_list, shown, {**listed, **chosen}, visitor=True, **UNLIMITED)
    connect(run.input, do.list_adapters, {"run_id": run}, chosen, visitor=True, **UNLIMITED)
    named = {"run_id": run, "adapter": adapter}
    connect(adapter.input, do.describe, named, {"about": about}, visitor=True, **UNLIMITED)
    download.makes(event_handler(do.write), [run, adapter], **(PRIVATE | {"show_progress": "minimal"}), **HEAVY)
    return run
