"""View of one evaluation: status, metrics of its lanes, finished prompts side by side, and one prompt in full.

It reads the evaluation's files only, so it shows the same after a reload or a restart of the server.
"""

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.conversation import empty_html, skeleton_html
from components.data_table import build_data_table
from components.download import Download, build_download
from components.pager import Pager, build_pager, clamp_page, position_text
from components.progress_bar import ProgressBar, build_progress_bar
from core.errors import StudioError
from core.evaluate import prompts, result, scores
from core.evaluate.answers_file import AnswerReader
from core.evaluate.prompts import Prompts
from core.evaluate.store import ACTIVE, RESUMABLE, WAITING, Evaluation, EvaluationStore
from core.runs.names import make_distinct
from core.system.files import file_size
from studio.evaluate.evaluation_html import (
    answers_html,
    first_html,
    metrics_html,
    notes_html,
    prompt_html,
    status_html,
)

NO_PROMPT = "Click a row to read its answers in full."
# Number of evaluations whose readers are kept.
_MAX_CACHED = 20


class EvaluationView:
    """Event handlers of the view of one evaluation."""

    def __init__(self, store: EvaluationStore):
        self.store = store
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
        return f"{found.id} {written} {file_size(found.answers_file)} {waiting} {status}"

    # The list

    def list_evaluations(self, evaluation_id: str | None) -> dict[str, Any]:
        """Return the evaluations that exist now; the selected one stays selected, or else the newest is."""
        found, runs = self.store.all(), self.store.runs.titles()
        states = [evaluation.state() for evaluation in found]
        ids = [evaluation.id for evaluation in found]
        sources = [_describe_source(evaluation, runs) for evaluation in found]
        # Several evaluations have the same prompts, so the time is part of their names.
        titles = make_distinct(sources, [state.created for state in states], ids)
        choices = [
            (f"{title} · {state.status} · {state.prompts:,} prompts", evaluation.id)
            for title, state, evaluation in zip(titles, states, found, strict=True)
        ]
        selected = evaluation_id if evaluation_id in ids else next(iter(ids), None)
        return {"evaluation": gr.update(choices=choices, value=selected)}

    # Updates

    def poll(
        self, fingerprint: str, list_fingerprint: str, evaluation_id: str | None, page: float | None, rows: int
    ) -> dict[str, Any]:
        """Return updates of what changed since the page was rendered.

        Args:
            fingerprint: Fingerprint of the selected evaluation when the page last rendered it.
            list_fingerprint: Fingerprint of all evaluations when the page last listed them.
            evaluation_id: The selected evaluation.
            page: The page of the table.
            rows: Rows per page.
        """
        list_now = self.store.fingerprint()
        try:
            now = self.fingerprint(evaluation_id)
        except StudioError:
            # The evaluation was deleted on another page, so the list selects another one.
            evaluation_id, now = None, ""
        updates: dict[str, Any] = {}
        if list_now != list_fingerprint:
            updates["list_fingerprint"] = list_now
        # The status also changes when the process dies, which none of the files shows.
        status_changed = now.rpartition(" ")[2] != fingerprint.rpartition(" ")[2]
        if updates or status_changed:
            updates |= self.list_evaluations(evaluation_id)
        if now != fingerprint:
            updates |= {"fingerprint": now, **self.render(evaluation_id, page, rows)}
        return updates

    def select_evaluation(self, evaluation_id: str | None, rows: int) -> dict[str, Any]:
        """Return the view of another evaluation, at its first page."""
        return {
            "fingerprint": self.fingerprint(evaluation_id),
            **self.render(evaluation_id, 1, rows),
            "prompt": empty_html(NO_PROMPT),
        }

    def render(self, evaluation_id: str | None, page: float | None, rows: int) -> dict[str, Any]:
        """Return status, metrics, notes, one page of the table, and which buttons apply."""
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
        answers, asked = self.read(evaluation)
        titles = evaluation.lane_titles(self.store.runs)
        per_minute, seconds_left = result.measure_rate(evaluation, len(answers), time.time())
        return {
            "status": status_html(state, len(answers), len(config.lanes), per_minute, seconds_left, time.time()),
            "metrics": metrics_html(titles, answers, scores.find(evaluation)),
            "notes": notes_html(evaluation.id, config, state, titles, self.store.runs.titles()),
            **_page(answers, asked, titles, page, rows, state.status),
            **_buttons(state.status, has_answers=bool(answers.finished)),
        }

    def show_page(self, evaluation_id: str | None, page: float | None, rows: int) -> dict[str, Any]:
        """Return one page of the table, its number and its position."""
        if not evaluation_id:
            return {"table": "", "page": 1, "position": "no rows"}
        evaluation = self.store.find(evaluation_id)
        titles, status = evaluation.lane_titles(self.store.runs), evaluation.state().status
        return _page(*self.read(evaluation), titles, page, rows, status)

    def show_prompt(self, evaluation_id: str | None, number: str) -> dict[str, str]:
        """Return one prompt in full, with its reference and each lane's answer.

        Args:
            evaluation_id: The selected evaluation.
            number: The prompt's index, as the table's event carries it.
        """
        if not evaluation_id or not str(number).isdigit():
            return {"prompt": empty_html(NO_PROMPT)}
        evaluation = self.store.find(evaluation_id)
        (answers, asked), index = self.read(evaluation), int(number)
        if index >= len(asked):
            raise StudioError(f"There is no prompt {index}. Expected 0 to {len(asked) - 1}.")
        lanes = list(zip(evaluation.lane_titles(self.store.runs), answers.read(index), strict=True))
        return {"prompt": prompt_html(index, asked[index], lanes)}


def _empty(status: str) -> dict[str, Any]:
    cleared = {"metrics": "", "notes": "", "table": "", "page": 1, "position": "no rows"}
    return {"status": status, **cleared, **_buttons(None, has_answers=False)}


def _describe_source(evaluation: Evaluation, runs: dict[str, str]) -> str:
    """Return where an evaluation's prompts are from, as its name in the list; its id if its settings are damaged."""
    try:
        config = evaluation.config()
    except StudioError:
        # The view of the evaluation shows the error.
        return evaluation.id
    text = prompts.describe(config, runs.get(config.prompt_run, "")).removeprefix("the ")
    return text[:1].upper() + text[1:]


def _page(
    answers: AnswerReader, asked: Prompts, titles: list[str], page: float | None, rows: int, status: str
) -> dict[str, Any]:
    # In the order in which the prompts were finished, until all are: a page does not change while others are answered.
    finished = sorted(answers.finished) if status == "finished" else list(answers.finished)
    number = clamp_page(page, len(finished), rows)
    shown = finished[(number - 1) * rows : number * rows]
    table = answers_html(titles, [(index, asked[index], answers.read(index)) for index in shown])
    return {"table": table, "page": number, "position": position_text(number, len(finished), rows)}


def _buttons(status: str | None, has_answers: bool) -> dict[str, Any]:
    applies = {
        "pause": status in ("preparing", "running"),
        "resume": status in RESUMABLE,
        "stop": status in ACTIVE,
    }
    buttons = {name: gr.update(interactive=flag, visible=flag) for name, flag in applies.items()}
    return buttons | {"open": gr.update(interactive=has_answers)}


@dataclass(frozen=True)
class EvaluationViewWidgets:
    """Widgets of the view of one evaluation.

    Attributes:
        evaluation: Selects the evaluation.
        prompt: Shows the prompt whose row was clicked.
        open: Opens the answers as a dataset.
        kind: The file format of the download.
        bar: The progress of `open`.
        typed: The id that confirms a deletion.
    """

    evaluation: gr.Dropdown
    pause: gr.Button
    resume: gr.Button
    stop: gr.Button
    status: gr.HTML
    metrics: gr.HTML
    table: gr.HTML
    pager: Pager
    prompt: gr.HTML
    open: gr.Button
    kind: gr.Dropdown
    download: Download
    bar: ProgressBar
    notes: gr.HTML
    typed: gr.Textbox
    delete: gr.Button

    @property
    def table_outputs(self) -> dict[str, Block]:
        """Return the components that `EvaluationView.show_page` updates, by name."""
        return {"table": self.table, "page": self.pager.page, "position": self.pager.position}

    @property
    def outputs(self) -> dict[str, Block]:
        """Return the components that `EvaluationView.render` updates, by name."""
        names = ("status", "metrics", "notes", "pause", "resume", "stop", "open")
        return {**{name: getattr(self, name) for name in names}, **self.table_outputs}


def build_evaluation_view() -> EvaluationViewWidgets:
    """Build the view in the open layout."""
    disabled = {"interactive": False, "size": "sm", "min_width": 76}
    hidden = {**disabled, "visible": False, "scale": 0}
    with gr.Row(elem_id="evaluation-head", equal_height=True):
        evaluation = gr.Dropdown(label="Evaluation", show_label=False, container=False, allow_custom_value=True,
                                 min_width=200, elem_id="evaluation")  # fmt: skip
        pause = gr.Button("Pause", elem_id="evaluate-pause", **hidden)
        resume = gr.Button("Resume", elem_id="evaluate-resume", **hidden)
        stop = gr.Button("Stop", variant="stop", elem_id="evaluate-stop", **hidden)
    status = gr.HTML(skeleton_html("Loading the evaluations …"), elem_id="evaluate-status", padding=False)
    metrics = gr.HTML(elem_id="evaluate-metrics", padding=False)
    table = build_data_table("evaluate-table", "evaluate-prompt")
    pager = build_pager("evaluate-page")
    prompt = gr.HTML(empty_html(NO_PROMPT), elem_id="evaluate-prompt", padding=False)
    with gr.Row(elem_id="evaluate-result", equal_height=True):
        opened = gr.Button("Open in the Data tab", elem_id="evaluate-open", **disabled)
        kind = gr.Dropdown(
            [(label, kind) for kind, label in result.FILE_LABELS.items()], value=result.FILE_KINDS[0],
            label="File format", show_label=False, container=False, filterable=False, min_width=150,
            elem_id="evaluate-kind",
        )  # fmt: skip
        download = build_download("Download", "evaluate-download")
    bar = build_progress_bar("evaluate-opening")
    notes = gr.HTML(elem_id="evaluate-notes", padding=False)
    with gr.Accordion("Delete", open=False, elem_id="evaluate-more"):
        typed = gr.Textbox(label="Delete", info="Type the evaluation's id to delete it with all its answers.",
                           elem_id="evaluate-delete-id")  # fmt: skip
        delete = gr.Button("Delete permanently", variant="stop", size="sm", elem_id="evaluate-delete")
    return EvaluationViewWidgets(
        evaluation, pause, resume, stop, status, metrics, table, pager, prompt, opened, kind, download, bar, notes,
        typed, delete,
    )  # fmt: skip
