"""One beat of the page's clock: whatever is new, in one answer.

A browser spends more on receiving an event than on drawing what it brings, and on a small machine it takes that from
the run; so there is one event a beat, not one for each part of the page.
"""

from typing import Any

import gradio as gr

from core.errors import StudioError
from studio.train.compare import ComparisonState, RunComparison
from studio.train.controls import RunControls
from studio.train.run_view import RunView, Scrubbed, Zoom

DRAWN = 14  # values of `Beat.drawn`: seven of the watch, two of the sample answers, five buttons


class Beat:
    """What this part does; names no widget's layout."""

    def __init__(self, controls: RunControls, watch: RunView, compare: RunComparison):
        self.controls, self.watch, self.compare = controls, watch, compare

    def beat(
        self, seen: str, listed: str, run_id: str | None, archived: bool, measure: str, zoom: Zoom,
        scrubbed: Scrubbed, choice: ComparisonState, curves: str, on_all: bool,
    ) -> list[Any]:  # fmt: skip
        """What changed since `seen` (the watched run's files) and `listed` (all runs); the rest is skipped."""
        try:
            now = self.watch.fingerprint(run_id)
        except StudioError:
            run_id, now = None, ""  # deleted by another page: the list chooses again
        there = self.controls.runs.listed()
        fresh, changed = now != seen, there != listed
        return [
            now if fresh else gr.skip(),
            there if changed else gr.skip(),
            *([self.controls.listed(run_id, archived), self.controls.queue_words()] if changed else _skips(2)),
            *(self.drawn(run_id, measure, zoom, scrubbed) if fresh else _skips(DRAWN)),
            *self.compare.shown(choice, curves, run_id, archived, on_all and (fresh or changed)),
        ]

    def drawn(self, run_id: str | None, measure: str, zoom: Zoom, scrubbed: Scrubbed) -> list[Any]:
        """The watch of a run, its sample answers, and which buttons can be pressed."""
        return [
            *self.watch.shown(run_id, measure, zoom),
            *self.watch.samples(run_id, scrubbed),
            *self.controls.able(run_id),
        ]

    def opened(self, run_id: str | None, measure: str) -> list[Any]:
        """Another run is watched: its files as seen, no zoom, all that is drawn, and its label."""
        return [
            self.watch.fingerprint(run_id), None, *self.drawn(run_id, measure, None, None),
            *self.controls.label(run_id),
        ]  # fmt: skip


def _skips(count: int) -> list[Any]:
    return [gr.skip()] * count
