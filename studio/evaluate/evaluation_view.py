"""View of one evaluation: status, metrics of its lanes, finished prompts side by side, and one prompt in full.

It reads the evaluation's files only, so it shows the same after a reload or a restart of the server.
"""

import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from components.conversation import empty_html
from core.errors import StudioError
from core.evaluate import prompts, result, scores
from core.evaluate.answers_file import AnswerReader
from core.evaluate.prompts import Prompts
from core.evaluate.store import ACTIVE, RESUMABLE, WAITING, Evaluation, EvaluationState, EvaluationStore, describe_size
from core.runs.names import make_distinct
from core.system.counting import counted
from core.system.files import file_size, modified_ns
from studio.evaluate.answers_page import page_of_answers
from studio.evaluate.evaluation_html import first_html, metrics_html, notes_html, status_html
from studio.evaluate.row_selection import SelectedRows, Selection
from studio.evaluate.verdict_view import NAMES, Comparison, VerdictView, hidden

# Number of evaluations whose readers are kept.
_MAX_CACHED = 20


class EvaluationView:
    """Event handlers of the view of one evaluation."""

    def __init__(self, store: EvaluationStore):
        self.store = store
        self.verdicts = VerdictView(store)
        # Readers by evaluation id, shared by all pages, so that each line of an answers file is parsed once.
        self._readers: dict[str, tuple[AnswerReader, Prompts]] = {}

    def read(self, evaluation: Evaluation) -> tuple[AnswerReader, Prompts]:
        """Return the answers written so far, and the prompts."""
        found = self._readers.get(evaluation.id)
        if found is None:
            while len(self._readers) >= _MAX_CACHED:
                # Another page may empty the cache at the same time, hence the default.
                self._readers.pop(next(iter(self._readers)), None)
            found = AnswerReader(evaluation.answers_file, len(evaluation.config().lanes)), evaluation.prompts()
            self._readers[evaluation.id] = found
        found[0].update()
        return found

    def forget(self, evaluation_id: str) -> None:
        """Drop the readers of a deleted evaluation."""
        self._readers.pop(evaluation_id, None)

    def fingerprint(self, evaluation_id: str | None) -> str:
        """Return a text that changes whenever the view would change; its last word is the status.

        It is cheap enough to be computed on every poll: it reads the size of the answers file, not its content.
        """
        if not evaluation_id:
            return ""
        found = self.store.find(evaluation_id)
        written, status = (found.folder / "state.json").stat().st_mtime_ns, found.state().status
        # While an evaluation waits, the view shows a count of seconds.
        waiting = int(time.time()) if status in WAITING else 0
        scored = modified_ns(found.folder / scores.FILE)
        return f"{found.id} {written} {file_size(found.answers_file)} {scored} {waiting} {status}"

    # The list

    def list_evaluations(self, evaluation_id: str | None) -> dict[str, Any]:
        """Return the evaluations that exist now; the selected one stays selected, or else the newest is."""
        found, runs = self.store.all(), self.store.runs.titles()
        states = [evaluation.state() for evaluation in found]
        ids = [evaluation.id for evaluation in found]
        described = [_describe_list_entry(*pair, runs) for pair in zip(found, states, strict=True)]
        sources, sizes = zip(*described, strict=True) if described else ((), ())
        # Several evaluations have the same prompts, so the time is part of their names.
        titles = make_distinct(sources, [state.created for state in states], ids)
        choices = [
            (f"{title} · {state.status} · {size}", evaluation_id)
            for title, state, size, evaluation_id in zip(titles, states, sizes, ids, strict=True)
        ]
        selected = evaluation_id if evaluation_id in ids else next(iter(ids), None)
        return {"evaluation": gr.update(choices=choices, value=selected)}

    def compare(self, evaluation: Evaluation, comparison: Mapping[str, Any]) -> Comparison:
        """Return what to compare: what the page has chosen, by the names of `verdict_view.NAMES`."""
        return self.verdicts.compare(evaluation, **{name: comparison.get(name) for name in NAMES})

    # Updates

    def poll(
        self, fingerprint: str, list_fingerprint: str, evaluation_id: str | None, page: float | None, rows: int,
        selection: dict[str, Any] | None = None, **comparison: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Return updates of what changed since the page was rendered.

        Args:
            fingerprint: Fingerprint of the selected evaluation when the page last rendered it.
            list_fingerprint: Fingerprint of all evaluations when the page last listed them.
            evaluation_id: The selected evaluation.
            page: The page of the table.
            rows: Rows per page.
            selection: The rows that the user chose to see.
            **comparison: What is compared.
        """
        list_now = self.store.fingerprint()
        try:
            now = self.fingerprint(evaluation_id)
        except StudioError:
            # The evaluation was deleted on another page, so the list selects another one.
            evaluation_id, now = None, ""
        updates: dict[str, Any] = {}
        if list_now != list_fingerprint:
            updates |= {"list_fingerprint": list_now, "ended": self._ended()}
        # The status also changes when the process dies, which none of the files shows.
        status_changed = now.rpartition(" ")[2] != fingerprint.rpartition(" ")[2]
        if updates or status_changed:
            updates |= self.list_evaluations(evaluation_id)
        if now != fingerprint:
            updates |= {"fingerprint": now, **self.render(evaluation_id, page, rows, selection, **comparison)}
        return updates

    def _ended(self) -> list[str]:
        """Return the ids of the evaluations that work no more: what is derived from their results may have changed."""
        return sorted(found.id for found in self.store.folders() if found.state().status not in ACTIVE)

    def select_evaluation(self, evaluation_id: str | None, rows: int) -> dict[str, Any]:
        """Return the view of another evaluation, at its first page."""
        return {
            "fingerprint": self.fingerprint(evaluation_id),
            **self.render(evaluation_id, 1, rows),
            "selection": {},
        }

    def render(
        self, evaluation_id: str | None, page: float | None, rows: int, selection: dict[str, Any] | None = None,
        **comparison: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Return status, verdict, notes, one page of the table, and which buttons apply.

        Args:
            evaluation_id: The selected evaluation.
            page: The page of the table.
            rows: Rows per page.
            selection: The rows that the user chose to see (`Selection`).
            **comparison: What to compare, by the names of `verdict_view.NAMES`.
        """
        if not evaluation_id:
            return _empty(first_html())
        evaluation = self.store.find(evaluation_id)
        state = evaluation.state()
        if state.status == "unreadable":
            return _empty(empty_html(state.cause))
        try:
            config = evaluation.config()
        except StudioError as error:
            # An error here would leave the view as it is: it would show for ever that the answers are being loaded.
            return _empty(empty_html(str(error)))
        answers, _ = self.read(evaluation)
        titles = evaluation.lane_titles(self.store.runs)
        per_minute, seconds_left = result.measure_rate(evaluation, len(answers), time.time())
        compared = self.compare(evaluation, comparison)
        verdict = self.verdicts.show(evaluation, titles, compared)
        return {
            "status": status_html(state, len(answers), len(config.lanes), per_minute, seconds_left, time.time()),
            # The table of differences has the same numbers with their intervals.
            "metrics": "" if verdict["differences"] else metrics_html(titles, answers, scores.find(evaluation)),
            "notes": notes_html(evaluation.id, config, state, titles, self.store.runs.titles()),
            **verdict,
            **self._page(evaluation, page, rows, selection, compared),
            **_buttons(state.status, has_answers=bool(answers.finished)),
        }

    def show_page(
        self, evaluation_id: str | None, page: float | None, rows: int, selection: dict[str, Any] | None = None,
        **comparison: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Return one page of the table, its number and its position; arguments as those of `render`."""
        if not evaluation_id:
            return {"table": "", "page": 1, "position": "no rows"}
        evaluation = self.store.find(evaluation_id)
        compared = self.compare(evaluation, comparison)
        return self._page(evaluation, page, rows, selection, compared)

    def change_comparison(self, evaluation_id: str | None, rows: int, **comparison: Any) -> dict[str, Any]:
        """Return the view for other models or another metric, with all rows."""
        return {"selection": {}, **self.render(evaluation_id, 1, rows, None, **comparison)}

    def show_groups(self, evaluation_id: str | None, **comparison: Any) -> dict[str, Any]:
        """Return the table of the chosen grouping."""
        if not evaluation_id:
            return {}
        evaluation = self.store.find(evaluation_id)
        compared = self.compare(evaluation, comparison)
        return {"groups": self.verdicts.show(evaluation, evaluation.lane_titles(self.store.runs), compared)["groups"]}

    def change_selection(
        self, evaluation_id: str | None, rows: int, selection: dict[str, Any] | None, change: dict[str, str],
        **comparison: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the first page of other rows, and the changed selection.

        Args:
            evaluation_id: The selected evaluation.
            rows: Rows per page.
            selection: The rows that were selected.
            change: Fields of `Selection` that change.
            **comparison: What is compared.
        """
        selection = {**(selection or {}), **change}
        return {"selection": selection, **self.show_page(evaluation_id, 1, rows, selection, **comparison)}

    def _page(
        self, evaluation: Evaluation, page: float | None, rows: int, selection: dict[str, Any] | None,
        compared: Comparison,
    ) -> dict[str, Any]:  # fmt: skip
        answers, asked = self.read(evaluation)
        is_finished = evaluation.state().status == "finished"
        # In the order in which the prompts were finished, until all are: a page does not change while others are
        # answered.
        finished = sorted(answers.finished) if is_finished else list(answers.finished)
        wanted = self.verdicts.selection(evaluation, compared)
        chosen = {name: value for name, value in (selection or {}).items() if name in vars(wanted)}
        wanted = Selection.parse({**vars(wanted), **chosen})
        selected = self.verdicts.select(evaluation, wanted, finished)
        if selected is None:
            wanted, selected = Selection(), SelectedRows(finished, {}, {"all": len(finished)})
        titles = evaluation.lane_titles(self.store.runs)
        return page_of_answers(answers, asked, titles, page, rows, selected, wanted)


def _empty(status: str) -> dict[str, Any]:
    cleared = {"metrics": "", "notes": "", "table": "", "page": 1, "position": "no rows"}
    filters = {name: gr.update(visible=False) for name in ("side", "group_filter")}
    return {"status": status, **cleared, **hidden(""), **filters, **_buttons(None, has_answers=False)}


def _describe_list_entry(evaluation: Evaluation, state: EvaluationState, runs: dict[str, str]) -> tuple[str, str]:
    """Return where an evaluation's prompts are from and how many they are; its id if its settings are damaged."""
    try:
        config = evaluation.config()
    except StudioError:
        # The view of the evaluation shows the error.
        return evaluation.id, counted(state.prompts, "prompt")
    text = prompts.describe(config, runs.get(config.prompt_run, "")).removeprefix("the ")
    return text[:1].upper() + text[1:], describe_size(config, state)


def _buttons(status: str | None, has_answers: bool) -> dict[str, Any]:
    applies = {
        "pause": status in ("preparing", "running"),
        "resume": status in RESUMABLE,
        "stop": status in ACTIVE,
    }
    buttons = {name: gr.update(interactive=flag, visible=flag) for name, flag in applies.items()}
    return buttons | {"open": gr.update(interactive=has_answers)}
