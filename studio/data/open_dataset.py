"""Open a dataset from a file, a folder or the Hub: the top of the Data tab."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from components.conversation import OPEN_TARGET
from components.html import render
from components.progress_bar import ProgressBar, build_progress_bar
from components.upload_file import UploadFile
from core.access import roles
from core.access.quotas import Quotas
from core.data import delimiter, parse_rows, readers, sources, subset, subset_rows
from core.data.table import Dataset
from core.errors import StudioError
from core.settings import Settings, inside
from core.system.counting import counted
from core.system.jobs import Job, Jobs
from studio.choices import SUBSET_PREFIX, UPLOAD_LABEL, UPLOAD_SUFFIXES, dataset_choices
from studio.data.page_state import State, open_source_row, parse_state, reading_on_opening
from studio.data.row_pane import linked_row
from studio.handlers import info, warn
from studio.job_progress import follow

OPEN = "open"
# Files that are read at once, each in a process of its own.
MAX_OPENINGS = 8


class OpenDataset:
    """Event handlers that open datasets. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs

    def folders(self) -> list[str]:
        """Return the folders below STUDIO_HOME/folders that the `datasets` library saved; visitors see none."""
        found = self.settings.folders_dir.glob("*/dataset_*.json") if roles.caller().is_owner else []
        return sorted({path.parent.name for path in found if not path.parent.name.startswith(".")})

    def on_load(self, request: gr.Request) -> dict[str, Any]:
        """Fill the lists again, and choose the newest dataset or the row that the page's address names.

        Another page or the command line may have opened something.
        """
        choices = dataset_choices(self.settings)
        listed = {
            "dataset": gr.update(choices=choices, value=choices[-1][1] if choices else None),
            "folder": gr.update(choices=self.folders()),
        }
        try:
            linked = linked_row(self.settings, request.query_params)
        except StudioError as error:
            # The page opens all the same.
            warn(str(error), title="The link cannot be opened")
            return listed
        if linked is None:
            return listed
        shown = open_source_row(linked, None)
        return {**listed, **shown, "dataset": gr.update(choices=choices, value=linked["dataset"])}

    def open_file(self, upload: str | None) -> Iterator[dict[str, Any]]:
        """Open an uploaded file; ends with the dataset's name."""
        if not upload:
            raise StudioError(f"No file was chosen. Choose one that ends in {', '.join(readers.SUFFIXES)}.")
        path = Path(upload)
        try:
            readers.check_kind(path.name, path)
        except StudioError:
            self._discard(path)
            raise
        job = self._start(path.name, path, sources.open_file, path)
        try:
            yield from self._follow(job)
        finally:
            if job.status in ("failed", "cancelled"):
                self._discard(path)

    def _discard(self, upload: Path) -> None:
        """Remove an uploaded file that was not opened, so that it takes nothing of the quota."""
        # Gradio gives each upload a folder of its own. A file elsewhere was named by a call of the owner.
        if upload.parent.parent == self.settings.uploads_dir:
            shutil.rmtree(upload.parent, ignore_errors=True)

    def open_folder(self, name: str | None) -> Iterator[dict[str, Any]]:
        """Open a folder that `datasets` saved, below STUDIO_HOME/folders."""
        path = inside(self.settings.folders_dir, name or "", "folder name")
        yield from self._follow(self._start(name, path, sources.open_folder, path))

    def open_hub(self, hub_id: str, config: str, split: str, revision: str, token: str) -> Iterator[dict[str, Any]]:
        """Open a dataset of the Hub, pinned to its commit."""
        given = [(text or "").strip() for text in (hub_id, config, split, revision, token)]
        if not given[0]:
            raise StudioError("No Hub id was given. Enter owner/name, such as timdettmers/openassistant-guanaco.")
        sources.check_hub_id(given[0])
        # The token is left out of the job's key, which is kept after the job.
        yield from self._follow(self._start(given[0], given[:4], sources.open_hub, *given))

    def open_subset(self, name: str | None) -> Iterator[dict[str, Any]]:
        """Open a subset as a dataset, with its rows as they were selected."""
        found = subset.find(self.settings, name or "")
        yield from self._follow(self._start(found.name, f"subset/{found.name}", subset_rows.open_subset, found.name))

    def split_column(self, state: State, characters: str) -> Iterator[dict[str, Any]]:
        """Open the chosen table of one column anew, with cells between some characters."""
        data = parse_state(state).find_dataset(self.settings)
        if not (characters or ""):
            raise StudioError("No delimiter is given. Enter the characters between two cells.")
        key = f"{data.id}/{characters}"
        yield from self._follow(self._start(data.source.name, key, delimiter.split, data, characters))

    def open_chosen(self, name: str | None) -> Iterator[dict[str, Any]]:
        """Open what was chosen in the list of datasets if it is a subset that is not open yet."""
        if (name or "").startswith(SUBSET_PREFIX):
            roles.owner_only("open subsets")
            yield from self.open_subset(name.removeprefix(SUBSET_PREFIX))

    def _start(self, name: str | None, source: Any, opens: Callable[..., Any], *arguments: Any) -> Job:
        """Start to open a source, or join a job that opens the same one.

        The process has limits on memory, time and output, because the data comes from outside.
        """
        limits, kind = Quotas().parse_limits(), f"{OPEN}/{source}"
        others = [job for job in self.jobs.all_running(OPEN) if job.kind != kind]
        if len(others) >= MAX_OPENINGS:
            raise StudioError(
                f"{len(others)} files are being opened already. Wait until one is ready, or press Cancel in the page "
                "that opens it."
            )
        return self.jobs.start(kind, f"Opening {name}", opens, self.settings, *arguments, limits=limits)

    def _follow(self, job: Job) -> Iterator[dict[str, Any]]:
        yield from follow(job, self.show_opened)

    def show_opened(self, done: Job) -> dict[str, Any]:
        """Return the updates that choose a dataset that was opened, and say how its rows are read."""
        self._notify(done.result)
        choices = dataset_choices(self.settings)
        return {"dataset": gr.update(choices=choices, value=done.result.id), "panel": gr.update(visible=False)}

    def _notify(self, data: Dataset) -> None:
        """Show how many rows of an opened dataset can be used, or what is left to decide."""
        chosen = reading_on_opening(self.settings, data.id)
        reading = chosen or data.detected
        parsed = parse_rows.parse_dataset(self.settings, data, reading)
        title = f"Opened {data.source.name}"
        if reading.format == "undecided":
            warn("The format is not certain, so no row is usable yet. Answer the question below.", title=title)
        elif not parsed.usable:
            reason = next(iter(parsed.problems), "no text")
            warn(f"No row can be used as it is read now ({reason}). Choose another format below.", title=title)
        else:
            evidence = "read as you chose last" if chosen else data.evidence
            info(f"{counted(data.rows, 'row')}, {parsed.usable:,} usable: {evidence}.", title=title)


@dataclass(frozen=True)
class OpenDatasetWidgets:
    """Widgets that choose and open datasets, and the summary of the chosen one."""

    dataset: gr.Dropdown
    show: gr.Button
    close: gr.Button
    panel: gr.Column
    upload: gr.File
    hub: dict[str, gr.Textbox]
    open_hub: gr.Button
    folder: gr.Dropdown
    open_folder: gr.Button
    bar: ProgressBar
    summary: gr.HTML


def build_open_dataset() -> OpenDatasetWidgets:
    """Build the widgets in the open layout."""
    with gr.Row(elem_id="dataset-row", equal_height=True):
        dataset = gr.Dropdown(
            label="Dataset", show_label=False, container=False, allow_custom_value=True, elem_id="dataset", scale=1,
            min_width=240,
        )  # fmt: skip
        show = gr.Button("Open data", scale=0, min_width=130, elem_id="open-data")
    with gr.Column(visible=False, elem_id="open-panel") as panel:
        with gr.Row():
            gr.HTML("<h3>Open data</h3>", padding=False, elem_classes="qs-title")
            close = gr.Button("Close", size="sm", scale=0, min_width=80, elem_id="open-close")
        with gr.Row():
            with gr.Column(min_width=260):
                upload = UploadFile(
                    label="From this computer", file_types=UPLOAD_SUFFIXES, height=150, elem_id="upload"
                )
                gr.Markdown(UPLOAD_LABEL, elem_classes="qs-note")
            with gr.Column(min_width=260):
                hub, open_hub = _build_hub()
            with gr.Column(min_width=260):
                folder = gr.Dropdown(
                    label="From a folder", allow_custom_value=True, elem_id="folder",
                    info="One that save_to_disk of “datasets” wrote, in “folders” of the studio's home.",
                )  # fmt: skip
                open_folder = gr.Button("Open folder", size="sm", elem_id="open-folder-button")
    bar = build_progress_bar("opening")
    loading = render("text", css_class="qs-second", direction="", text="Loading the dataset …")
    summary = gr.HTML(loading, js_on_load=OPEN_TARGET, elem_id="data-summary", padding=False)
    return OpenDatasetWidgets(dataset, show, close, panel, upload, hub, open_hub, folder, open_folder, bar, summary)


def _build_hub() -> tuple[dict[str, gr.Textbox], gr.Button]:
    """Build the fields of a dataset of the Hub: its id, and in a closed part what few need."""
    fields = {
        "hub_id": gr.Textbox(
            label="From the Hugging Face Hub",
            placeholder="timdettmers/openassistant-guanaco",
            elem_id="hub-id",
            info="Owner/name, as in the dataset's address.",
        )
    }
    button = gr.Button("Open from the Hub", size="sm", elem_id="open-hub-button")
    with gr.Accordion("Configuration, split, revision, token", open=False, elem_id="hub-more", elem_classes="qs-quiet"):
        fields |= {
            "config": gr.Textbox(label="Configuration", info="Only for a dataset that has several."),
            "split": gr.Textbox(label="Split", info="Empty: all; test and validation are held out."),
            "revision": gr.Textbox(label="Revision", info="Branch, tag or commit; empty: the latest of main."),
            "token": gr.Textbox(
                label="Token", type="password", info="Only for a private or gated dataset. Used once, never saved.",
                elem_id="hub-token",
            ),
        }  # fmt: skip
    return fields, button
