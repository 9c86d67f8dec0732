"""The top of the Data tab: open a data set from a file, a folder or the Hub."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from components.progress_bar import ProgressBar, build_progress_bar, gone
from core.access import roles
from core.access.quotas import Quotas
from core.data import parse_rows, readers, sources, table
from core.errors import StudioError
from core.settings import Settings, inside
from core.system.jobs import Job, Jobs
from studio.handlers import info, warn
from studio.job_progress import follow

_TYPES = [suffix for suffix in readers.SUFFIXES if suffix.count(".") == 1] + [".gz", ".zst"]


class Opening:
    """What this part does; names no widget's layout."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs

    def choices(self) -> list[tuple[str, str]]:
        return [(f"{d.source.in_words()} ({d.rows:,} rows)", d.id) for d in table.opened_datasets(self.settings)]

    def folders(self) -> list[str]:
        """The folders saved by datasets that lie below STUDIO_HOME/folders."""
        found = self.settings.folders_dir.glob("*/dataset_*.json") if roles.caller().is_owner else []
        return sorted({path.parent.name for path in found if not path.parent.name.startswith(".")})

    def on_load(self) -> list[Any]:
        """Fill the lists anew: another page or the command line may have opened something."""
        choices = self.choices()
        return [
            gr.update(choices=choices, value=choices[-1][1] if choices else None),
            gr.update(choices=self.folders()),
        ]

    def _start(self, name: str | None, source: Any, opens: Callable[..., Any], *arguments: Any) -> Job:
        """What comes from outside is read in a process with limits; whoever opens the same source follows it, too."""
        limits, kind = Quotas().parse_limits(), f"open/{source}"
        return self.jobs.start(kind, f"Opening {name}", opens, self.settings, *arguments, limits=limits)

    def _follow(self, job: Job) -> Iterator[list[Any]]:
        def opened(done: Job) -> list[Any]:
            data = done.result
            about = parse_rows.derive(self.settings, data, data.detected)
            title = f"Opened {data.source.name}"
            if data.detected.format == "undecided":
                warn("No format is sure. Answer the question below; no row is usable until then.", title=title)
            elif not about.usable:
                reason = next(iter(about.problems), "no text")
                warn(f"No row can be used as it is read now ({reason}). Choose another reading below.", title=title)
            else:
                info(f"{data.rows:,} rows, {about.usable:,} usable: {data.evidence}.", title=title)
            return [gr.update(choices=self.choices(), value=data.id)]

        yield from follow(job, 1, opened)

    def open_file(self, upload: str | None) -> Iterator[list[Any]]:
        """Open an uploaded file; ends with the data set's name."""
        if not upload:
            raise StudioError(f"No file was chosen. Choose one that ends in {', '.join(readers.SUFFIXES)}.")
        path = Path(upload)
        if readers.kind_of(path.name) is None:
            raise StudioError(
                f"{path.name!r} is no file that can be opened here. Expected one ending in "
                f"{', '.join(readers.SUFFIXES)}."
            )
        yield from self._follow(self._start(path.name, path, sources.open_file, path))

    def open_folder(self, name: str | None) -> Iterator[list[Any]]:
        """Open a folder that `datasets` saved, below STUDIO_HOME/folders."""
        path = inside(self.settings.folders_dir, name or "", "folder name")
        yield from self._follow(self._start(name, path, sources.open_folder, path))

    def open_hub(self, hub_id: str, config: str, split: str, revision: str, token: str) -> Iterator[list[Any]]:
        """Open a data set of the Hub, pinned to its commit."""
        asked = [(text or "").strip() for text in (hub_id, config, split, revision, token)]
        if not asked[0]:
            raise StudioError("No Hub id was given. Expected owner/name, such as timdettmers/openassistant-guanaco.")
        sources.hub_id(asked[0])
        yield from self._follow(self._start(asked[0], asked[:4], sources.open_hub, *asked))

    def reattach(self) -> Iterator[list[Any]]:
        """Follow what another page, or this one before it was loaded again, has begun to open."""
        if job := self.jobs.running("open"):
            yield from self._follow(job)
        else:
            yield [*gone(), None, gr.skip()]


@dataclass(frozen=True)
class OpeningWidgets:
    dataset: gr.Dropdown
    upload: gr.File
    hub: dict[str, gr.Textbox]
    open_hub: gr.Button
    folder: gr.Dropdown
    open_folder: gr.Button
    bar: ProgressBar
    summary: gr.HTML


def build_opening() -> OpeningWidgets:
    with gr.Row():
        dataset = gr.Dropdown(label="Data set", allow_custom_value=True, elem_id="dataset", scale=3, min_width=300)
        with gr.Column(scale=2, min_width=260), gr.Accordion("Upload a file", open=False, elem_id="open-upload"):
            upload = gr.File(label="JSONL, JSON, CSV, TSV, Parquet, text; .gz and .zst", file_types=_TYPES, height=130,
                             elem_id="upload")  # fmt: skip
        with (
            gr.Column(scale=2, min_width=260),
            gr.Accordion("From the Hugging Face Hub", open=False, elem_id="open-hub"),
        ):
            hub = _hub_fields()
            open_hub = gr.Button("Open from the Hub", elem_id="open-hub-button")
            folder = gr.Dropdown(
                label="Or a folder saved with datasets", allow_custom_value=True, elem_id="folder",
                info="Those in the folder “folders” of STUDIO_HOME.",
            )  # fmt: skip
            open_folder = gr.Button("Open the folder", elem_id="open-folder-button")
    bar = build_progress_bar("opening")
    summary = gr.HTML(elem_id="data-summary", padding=False)
    return OpeningWidgets(dataset, upload, hub, open_hub, folder, open_folder, bar, summary)


def _hub_fields() -> dict[str, gr.Textbox]:
    return {
        "hub_id": gr.Textbox(label="Hub id", placeholder="timdettmers/openassistant-guanaco", elem_id="hub-id"),
        "config": gr.Textbox(label="Configuration", info="Only where a data set has several."),
        "split": gr.Textbox(label="Split", info="Empty: all; test and validation are held out."),
        "revision": gr.Textbox(label="Revision", info="Branch, tag or commit; empty: main, as it is now."),
        "token": gr.Textbox(
            label="Token", type="password", info="Only for a private or gated data set. Used once, kept nowhere.",
            elem_id="hub-token",
        ),
    }  # fmt: skip
