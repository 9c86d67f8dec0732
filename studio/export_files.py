"""List of the exported files on the page: download, and delete after a second press."""

import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from components.download import Download, build_download
from core.export import files
from core.settings import Settings
from core.system.counting import counted
from core.system.sizes import format_size
from studio.event_values import name_of
from studio.handlers import event_handler, info
from studio.html import read_static, render
from studio.wiring import PRIVATE, UNLIMITED, connect

_MAX_LISTED = 100


class ExportFiles:
    """Event handlers of the list. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def show(self) -> dict[str, str]:
        """List the newest files."""
        found = files.list_files(self.settings)
        listed = [
            (
                file.name, file.form, format_size(file.size),
                time.strftime("%d %b %Y %H:%M", time.localtime(file.made)), file.has_card,
            )
            for file in found[:_MAX_LISTED]
        ]  # fmt: skip
        count = f"{counted(len(found), 'file')}, {format_size(sum(file.size for file in found))}"
        hidden = len(found) - len(listed)
        more = counted(hidden, "older file is", "older files are") if hidden else ""
        return {"files": render("export_files", files=listed, count=count, more=more)}

    def delete(self, name: str) -> dict[str, str]:
        """Delete a file, and list the others."""
        freed = files.delete_file(self.settings, name)
        info(f"{format_size(freed)} were freed.", title=f"Deleted {name}")
        return self.show()


def build_export_files() -> tuple[gr.HTML, Download]:
    """Build the list in the open layout, and the hidden buttons that download one of its files.

    The list has the events `download_file`, `download_card` and `delete_file`, whose value is the name of a file.
    """
    listed = gr.HTML(elem_id="export-files", padding=False, js_on_load=read_static("export_files.js"))
    return listed, build_download("Download the chosen file", "export-listed", visible=False)


def connect_export_files(
    do: ExportFiles, listed: gr.HTML, download: Download, changes: list[Callable[..., Any]]
) -> None:
    """Connect the list.

    Args:
        do: The handlers.
        listed: The list.
        download: Holds the file that is downloaded.
        changes: Events after which there may be other files.
    """

    def find(event: gr.EventData) -> str:
        return str(files.find_file(do.settings, name_of(event)))

    def find_card(event: gr.EventData) -> str:
        return str(files.pack_card(do.settings, name_of(event)))

    def delete(event: gr.EventData) -> dict[str, str]:
        return do.delete(name_of(event))

    for event in changes:
        connect(event, do.show, outputs={"files": listed}, **UNLIMITED)
    download.serves(listed.download_file, event_handler(find), **PRIVATE)
    packed = download.serves(listed.download_card, event_handler(find_card), **PRIVATE)
    # The ZIP of the card is a file of the list.
    connect(packed.success, do.show, outputs={"files": listed}, **UNLIMITED)
    connect(listed.delete_file, delete, outputs={"files": listed}, **UNLIMITED)
