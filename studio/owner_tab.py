"""The Owner tab: what visitors see, how much of the quotas is used, and removal of old files."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.access import roles, visibility
from core.access.quotas import GIB, Quotas, Tokens, size_of
from core.chat import conversation
from core.data import table
from core.errors import StudioError
from core.runs import cleanup, example
from core.runs.store import RunStore
from core.settings import Settings
from core.system.counting import counted
from core.system.sizes import format_size
from studio.handlers import info
from studio.html import render
from studio.wiring import PRIVATE, connect

_MAX_LISTED = 200
_MIB = 2**20
_DAY_SECONDS = 86400


class OwnerActions:
    """Event handlers of the tab. They hold no widgets, so tests call them directly."""

    def __init__(self, runs: RunStore, quotas: Quotas, tokens: Tokens):
        self.runs, self.settings, self.quotas, self.tokens = runs, runs.settings, quotas, tokens

    # Publishing

    def fill(self) -> dict[str, Any]:
        """List the runs and datasets that can be published, choose the published ones, and show the usage."""
        roles.owner_only("use this tab")
        published = visibility.read(self.settings)
        listed = self._publishable(published)
        return {
            "runs": _choose_published(listed["runs"], published.runs),
            "datasets": _choose_published(listed["datasets"], published.datasets),
            "usage": self.usage_html(),
        }

    def _publishable(self, published: visibility.Published) -> dict[visibility.Kind, list[tuple[str, str]]]:
        """Return (label, name) of the finished and the published runs, and of the opened datasets."""
        # The example run and bundled data are open to everyone without being published. A published run stays in the
        # list while it is resumed, so that it can be unpublished.
        runs = [run for run in self.runs.runs() if not example.is_example(run.id)]
        runs = [run for run in runs if run.id in published.runs or run.state().status == "finished"]
        titles = self.runs.titles()
        datasets = [d for d in table.opened_datasets(self.settings) if d.source.kind != "bundled"]
        return {
            "runs": [(titles.get(run.id, run.title), run.id) for run in runs],
            "datasets": [(dataset.source.describe(), dataset.id) for dataset in datasets],
        }

    def publish(self, runs: list[str], datasets: list[str]) -> None:
        """Let visitors see these runs and datasets, and no others of those that are listed.

        A published name that is not listed, such as a dataset whose description is damaged, stays published, because
        its owner could not have chosen it.
        """
        # All names are checked before the first is published, so that a wrong one changes nothing.
        for run_id in runs or []:
            self.runs.run(run_id)
        for dataset in datasets or []:
            table.find(self.settings, dataset)
        published = visibility.read(self.settings)
        listed = self._publishable(published)
        for kind, chosen in (("runs", runs or []), ("datasets", datasets or [])):
            names = {name for _, name in listed[kind]}
            for name in {*chosen, *(names & set(getattr(published, kind)))}:
                visibility.publish(self.settings, kind, name, name in chosen)
        info(f"Runs: {len(runs or [])}. Datasets: {len(datasets or [])}, and the bundled one.", title="Published")

    # Usage

    def usage_html(self) -> str:
        """Return the quotas and how much of each is used, as a table."""
        uploads, files = size_of(self.settings.uploads_dir)
        disk, used, limits = shutil.disk_usage(self.settings.home), self.tokens.used(), self.quotas
        rows = [
            ("Uploads", f"{counted(files, 'file')}, {format_size(uploads)}",
             f"up to {counted(limits.uploads, 'file')} and {format_size(limits.uploads_gib * GIB)} together, "
             f"{format_size(limits.upload_mib * _MIB)} per file"),
            ("Runs", f"{counted(len(self.runs.runs()), 'run')}, {len(self.runs.queue()):,} of them waiting",
             f"up to {counted(limits.runs, 'run')}, {limits.waiting_runs:,} of them waiting, "
             f"{limits.run_hours:g} hours per run"),
            ("Visitors' tokens today", f"{sum(used.values()):,} by {counted(len(used), 'visitor')}",
             f"up to {limits.visitors_tokens:,} together, {limits.visitor_tokens:,} per visitor"),
            ("Saved chats", f"{conversation.count_asked(self.settings):,}",
             f"up to {limits.visitor_chats:,} of visitors; yours without a limit"),
            ("Disk", f"{format_size(size_of(self.settings.home)[0])} in the studio's home folder",
             f"{format_size(disk.free)} are free, and {format_size(limits.free_gib * GIB)} must stay free"),
        ]  # fmt: skip
        return render("usage", rows=rows)

    # Removal of old files

    def list_items(self, kinds: list[str], days: float, mib: float) -> dict[str, Any]:
        """List what would be removed; it can be confirmed if there is something.

        Args:
            kinds: Names from `cleanup.KINDS`.
            days: Only what is older.
            mib: Only what is larger.
        """
        items = self._find_items(kinds, days, mib)
        names = [item.name for item in items]
        return {"found": items_html(items), "seen": names, "confirm": gr.update(interactive=bool(names))}

    def _find_items(self, kinds: list[str], days: float | None, mib: float | None) -> list[cleanup.Item]:
        for title, value in (("Older than (days)", days), ("Larger than (MiB)", mib)):
            if value is None:
                raise StudioError(f"{title} is empty. Enter a number; 0 includes everything.")
        return cleanup.list_removable(self.settings, kinds or [], days, mib)

    def remove(self, kinds: list[str], days: float, mib: float, seen: list[str]) -> dict[str, Any]:
        """Remove what was listed before, as far as it still matches.

        Only what the owner has seen is removed: a file that came to match since then stays.

        Args:
            kinds: As for `list_items`.
            days: As for `list_items`.
            mib: As for `list_items`.
            seen: Names from the list that was shown.
        """
        if not seen:
            raise StudioError("Nothing is listed. Press “List files” first, and read the list.")
        known = set(seen)
        items = [item for item in self._find_items(kinds, days, mib) if item.name in known]
        removed, left = cleanup.remove(self.settings, items)
        text = f"{format_size(sum(item.size for item in removed))} were freed."
        if left:
            name, reason = next(iter(left.items()))
            text += f" {counted(len(left), 'item was', 'items were')} not removed, such as {name}: {reason}."
        info(text, title=f"{len(removed):,} removed")
        return {"found": "", "seen": [], "confirm": gr.update(interactive=False), "usage": self.usage_html()}


def _choose_published(choices: list[tuple[str, str]], published: list[str]) -> dict[str, Any]:
    return gr.update(choices=choices, value=[value for _, value in choices if value in published])


def items_html(items: list[cleanup.Item]) -> str:
    """Return what would be removed as a table; only the first rows are listed, but all are counted."""
    listed = [
        {
            "kind": item.kind,
            "name": item.name,
            "size": format_size(item.size),
            "days": f"{item.age / _DAY_SECONDS:,.1f}",
        }
        for item in items[:_MAX_LISTED]
    ]
    total = format_size(sum(item.size for item in items))
    return render("cleanup", items=listed, count=f"{len(items):,}", total=total, more=len(items) > len(listed))


@dataclass(frozen=True)
class OwnerTab:
    """Parts of the Owner tab that studio/app.py connects.

    Attributes:
        fill: Handler that fills the tab.
        outputs: What it fills, by name.
    """

    fill: Callable[..., Any]
    outputs: dict[str, gr.components.Component]


def build_owner_tab(settings: Settings, quotas: Quotas, tokens: Tokens) -> OwnerTab:
    """Build the tab in the open layout and connect its events.

    Args:
        settings: The studio's settings.
        quotas: The limits that are shown.
        tokens: What visitors used of them today.
    """
    do = OwnerActions(RunStore(settings), quotas, tokens)
    gr.Markdown(
        "### Visible to visitors\nVisitors see the bundled data, the example run, and the runs and datasets that you "
        "publish here.",
        elem_classes="qs-title",
    )
    with gr.Row():
        runs = gr.Dropdown(label="Published runs", multiselect=True, elem_id="published-runs", min_width=280)
        datasets = gr.Dropdown(label="Published datasets", multiselect=True, elem_id="published-data", min_width=280)
    publish = gr.Button("Publish selection", size="sm", elem_id="publish", elem_classes="ow-action")
    gr.Markdown(
        "### Usage\nThe limits are set by environment variables STUDIO_QUOTA_…, which docs/deploy.md lists.",
        elem_classes="qs-title",
    )
    usage = gr.HTML(elem_id="use", padding=False)
    filters, look, confirm = _build_cleanup()
    found, seen = gr.HTML(elem_id="clean-found", padding=False), gr.State([])
    listed = {"found": found, "seen": seen, "confirm": confirm}
    connect(publish.click, do.publish, {"runs": runs, "datasets": datasets}, api_name="publish")
    connect(look.click, do.list_items, filters, listed, **PRIVATE)
    connect(confirm.click, do.remove, {**filters, "seen": seen}, {**listed, "usage": usage}, **PRIVATE)
    return OwnerTab(do.fill, {"runs": runs, "datasets": datasets, "usage": usage})


def _build_cleanup() -> tuple[dict[str, gr.components.Component], gr.Button, gr.Button]:
    """Build the filters of old files, and the buttons that list and delete them."""
    gr.Markdown("### Free disk space\nList the files first. Nothing is removed before you press “Delete these files”.",
                elem_classes="qs-title")  # fmt: skip
    with gr.Row():
        kinds = gr.CheckboxGroup(
            list(cleanup.KINDS), value=["uploads", "leftovers"], label="Kinds", min_width=300, elem_id="kinds"
        )
        days = gr.Number(30, minimum=0, label="Older than (days)", min_width=120, elem_id="clean-days")
        mib = gr.Number(0, minimum=0, label="Larger than (MiB)", min_width=120, elem_id="clean-mib")
    with gr.Row(elem_classes="ow-action"):
        look = gr.Button("List files", size="sm", elem_id="clean-look")
        confirm = gr.Button("Delete these files", variant="stop", size="sm", interactive=False, elem_id="clean-sure")
    return {"kinds": kinds, "days": days, "mib": mib}, look, confirm
