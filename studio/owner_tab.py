"""The Owner tab: what visitors may see, how much is used of what is given away, and making room."""

import html
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.access import roles, visibility
from core.access.quotas import GIB, Quotas, Tokens, size_of
from core.data import table
from core.errors import StudioError
from core.runs import cleanup
from core.runs.store import RunStore
from core.settings import Settings
from studio.handlers import event_handler, info

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_LISTED = 200


class Owner:
    """What the tab does; names no widget's layout."""

    def __init__(self, runs: RunStore, quotas: Quotas, tokens: Tokens):
        self.runs, self.settings, self.quotas, self.tokens = runs, runs.settings, quotas, tokens

    # What visitors see

    def listed(self) -> list[Any]:
        """The finished runs and the opened data sets, with those that are published."""
        roles.owner_only("This page")
        known = visibility.read(self.settings)
        runs = [(run.title, run.id) for run in self.runs.runs() if run.state().status == "finished"]
        opened = [d for d in table.opened_datasets(self.settings) if d.source.kind != "bundled"]
        datasets = [(d.source.describe(), d.id) for d in opened]
        return [
            gr.update(choices=runs, value=[one for _, one in runs if one in known.runs]),
            gr.update(choices=datasets, value=[one for _, one in datasets if one in known.datasets]),
            self.use(),
        ]

    def publish(self, runs: list[str], datasets: list[str]) -> None:
        """Let visitors see these, and no others."""
        for run_id in runs or []:
            self.runs.run(run_id)
        for dataset in datasets or []:
            table.find(self.settings, dataset)
        known = visibility.read(self.settings)
        for kind, chosen in (("runs", runs or []), ("datasets", datasets or [])):
            for name in {*chosen, *getattr(known, kind)}:
                visibility.publish(self.settings, kind, name, name in chosen)
        info(f"Runs: {len(runs or [])}. Data sets: {len(datasets or [])}, beside the bundled one.", title="Published")

    # What is used

    def use(self) -> str:
        """The quotas with what is used of them, as a table."""
        uploads, files = size_of(self.settings.uploads_dir)
        disk, used, limits = shutil.disk_usage(self.settings.home), self.tokens.used(), self.quotas
        rows = [
            ("Uploads", f"{files:,} files, {uploads / GIB:.2f} GiB",
             f"{limits.uploads:,} files, {limits.uploads_gib:g} GiB; {limits.upload_mib:,} MiB each"),
            ("Runs", f"{len(self.runs.runs()):,}, {len(self.runs.queue()):,} waiting",
             f"{limits.runs:,}, {limits.waiting_runs:,} waiting, {limits.run_hours:g} hours each"),
            ("Visitors' tokens today", f"{sum(used.values()):,} by {len(used):,} visitors",
             f"{limits.visitors_tokens:,}; {limits.visitor_tokens:,} each"),
            ("Chats kept", f"{len(list((self.settings.home / 'chats').glob('*.json'))):,}",
             f"{limits.visitor_chats:,} of visitors"),
            ("Disk", f"{size_of(self.settings.home)[0] / GIB:.2f} GiB in STUDIO_HOME, {disk.free / GIB:.1f} GiB free",
             f"{limits.free_gib:g} GiB stay free"),
        ]  # fmt: skip
        head = "<tr><th></th><th>used</th><th>allowed</th></tr>"
        body = "".join(f"<tr><th>{a}</th><td>{b}</td><td>{c}</td></tr>" for a, b, c in rows)
        return f'<div class="qs-differ"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'

    # Making room

    def look(self, kinds: list[str], days: float, mib: float) -> tuple[str, list[str], Any]:
        """What would go, the names of it, and whether it can be confirmed."""
        items = self._found(kinds, days, mib)
        names = [item.name for item in items]
        return items_html(items), names, gr.update(interactive=bool(names))

    def _found(self, kinds: list[str], days: float | None, mib: float | None) -> list[cleanup.Item]:
        for title, value in (("Older than (days)", days), ("Larger than (MiB)", mib)):
            if value is None:
                raise StudioError(f"{title} is empty. Give it a value; 0 leaves out nothing.")
        return cleanup.found(self.settings, kinds or [], days, mib)

    def remove(self, kinds: list[str], days: float, mib: float, seen: list[str]) -> tuple[str, list[str], Any, str]:
        """Remove what was listed before, as far as it still answers the description."""
        if not seen:
            raise StudioError("Nothing is listed. Press “List what would go” first, and read it.")
        known = set(seen)
        items = [item for item in self._found(kinds, days, mib) if item.name in known]
        freed = cleanup.remove(self.settings, items)
        info(f"{freed / 2**20:,.1f} MiB came back.", title=f"{len(items):,} removed")
        return "", [], gr.update(interactive=False), self.use()


def items_html(items: list[cleanup.Item]) -> str:
    if not items:
        return '<p class="qs-note">Nothing is like that.</p>'
    rows = "".join(
        f"<tr><td>{item.kind}</td><td>{html.escape(item.name)}</td><td>{item.size / 2**20:,.1f} MiB</td>"
        f"<td>{item.age / 86400:,.1f} days</td></tr>"
        for item in items[:_LISTED]
    )
    more = f" The first {_LISTED} are shown." if len(items) > _LISTED else ""
    total = sum(item.size for item in items) / 2**20
    return (
        f'<p class="qs-note">{len(items):,} would go, {total:,.1f} MiB.{more}</p>'
        f'<div class="qs-differ"><table><tbody>{rows}</tbody></table></div>'
    )


@dataclass(frozen=True)
class OwnerTab:
    """What studio/app.py may link to. Attributes: fill: fills the tab; filled: what with."""

    fill: Callable[..., Any]
    filled: list[gr.components.Component]


def build_owner_tab(settings: Settings, quotas: Quotas, tokens: Tokens) -> OwnerTab:
    do = Owner(RunStore(settings), quotas, tokens)
    gr.Markdown("### What visitors see\nThe bundled data, and what is chosen here.", elem_classes="qs-title")
    with gr.Row():
        runs = gr.Dropdown(label="Published runs", multiselect=True, elem_id="published-runs", min_width=280)
        datasets = gr.Dropdown(label="Published data sets", multiselect=True, elem_id="published-data", min_width=280)
    save = gr.Button("Publish these, and no others", size="sm", elem_id="publish")
    gr.Markdown("### What is used\nLimits are set by STUDIO_QUOTA_… in the environment.", elem_classes="qs-title")
    use = gr.HTML(elem_id="use", padding=False)
    gr.Markdown("### Make room\nListed first, removed when you say so.", elem_classes="qs-title")
    with gr.Row():
        kinds = gr.CheckboxGroup(list(cleanup.KINDS), value=["uploads", "leftovers"], label="Of these", elem_id="kinds")
        days = gr.Number(30, minimum=0, label="Older than (days)", min_width=120, elem_id="clean-days")
        mib = gr.Number(0, minimum=0, label="Larger than (MiB)", min_width=120, elem_id="clean-mib")
    with gr.Row():
        look = gr.Button("List what would go", size="sm", elem_id="clean-look")
        sure = gr.Button("Remove these for good", variant="stop", size="sm", interactive=False, elem_id="clean-sure")
    found, seen = gr.HTML(elem_id="clean-found", padding=False), gr.State([])
    save.click(event_handler(do.publish), [runs, datasets], None, api_name="publish")
    look.click(event_handler(do.look), [kinds, days, mib], [found, seen, sure], **QUIET)
    sure.click(event_handler(do.remove), [kinds, days, mib, seen], [found, seen, sure, use], **QUIET)
    return OwnerTab(event_handler(do.listed), [runs, datasets, use])
