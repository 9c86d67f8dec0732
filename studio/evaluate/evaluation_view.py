"""What is seen of an evaluation: how far it is, its finished rows side by side, and what can be done with it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.conversation import chips_html, conversation_html, empty_html
from components.data_table import TableColumn, TablePage, TableRow, build_data_table, table_html
from components.download import Download, build_download
from components.pager import Pager, build_pager, clamp_page, position_words
from components.progress_bar import ProgressBar, build_progress_bar
from core.chat.types import END_LABELS
from core.data import table
from core.errors import StudioError
from core.evaluate import process, result
from core.evaluate.answers_file import Answers
from core.evaluate.prompts import Prompts
from core.evaluate.store import ACTIVE, RESUMABLE, Evaluation, EvaluationStore
from core.runs.events import size
from core.system.jobs import Job, Jobs
from studio.evaluate.evaluation_html import figures_html, notes_html, status_html
from studio.handlers import info
from studio.job_progress import follow

NONE = "No evaluation yet. Choose prompts and lanes, and press Start: every lane answers every prompt."
NO_ROW = "Click a row to read its answers in full."
_CELL = 240  # characters of a text in the table
_FOLLOWED = 20  # evaluations whose answers' places are remembered
DRAWN = 10  # values of `Watching.drawn`


class Watching:
    """What this part does; names no widget's layout."""

    def __init__(self, store: EvaluationStore, jobs: Jobs):
        self.store, self.jobs = store, jobs
        self._followed: dict[str, tuple[Answers, Prompts]] = {}  # shared by all pages: each line is read once

    def read(self, evaluation: Evaluation) -> tuple[Answers, Prompts]:
        """The answers up to now, and the prompts."""
        found = self._followed.get(evaluation.id)
        if found is None:
            while len(self._followed) >= _FOLLOWED:
                self._followed.pop(next(iter(self._followed)), None)
            found = Answers(evaluation.answers_file, len(evaluation.config().lanes)), evaluation.prompts()
            self._followed[evaluation.id] = found
        found[0].update()
        return found

    def fingerprint(self, evaluation_id: str | None) -> str:
        """Different whenever there is something new to be seen; cheap."""
        if not evaluation_id:
            return ""
        found = self.store.find(evaluation_id)
        written = (found.folder / "state.json").stat().st_mtime_ns
        return f"{found.id} {written} {size(found.answers_file)} {found.state().status}"

    # The list

    def choices(self) -> list[tuple[str, str]]:
        found = []
        for evaluation in self.store.all():
            state = evaluation.state()
            found.append((f"{evaluation.id} · {state.status} · {state.prompts:,} prompts", evaluation.id))
        return found

    def listed(self, evaluation_id: str | None) -> Any:
        """The evaluations there are; the one that is watched stays so, else the newest."""
        choices = self.choices()
        known = [value for _, value in choices]
        return gr.update(choices=choices, value=evaluation_id if evaluation_id in known else next(iter(known), None))

    # What is drawn

    def beat(self, seen: str, listed: str, evaluation_id: str | None, page: float | None, rows: int) -> list[Any]:
        """What changed since `seen` (the watched evaluation's files) and `listed` (all); the rest is skipped."""
        there = self.store.listed()
        try:
            now = self.fingerprint(evaluation_id)
        except StudioError:
            evaluation_id, now = None, ""  # removed by hand: the list chooses again
        changed, fresh = there != listed, now != seen
        died = now.rpartition(" ")[2] != seen.rpartition(" ")[2]  # of which its files know nothing
        return [
            now if fresh else gr.skip(),
            there if changed else gr.skip(),
            self.listed(evaluation_id) if changed or died else gr.skip(),
            *(self.drawn(evaluation_id, page, rows) if fresh else [gr.skip()] * DRAWN),
        ]

    def opened(self, evaluation_id: str | None, rows: int) -> list[Any]:
        """Another evaluation is watched, from its first page."""
        return [self.fingerprint(evaluation_id), *self.drawn(evaluation_id, 1, rows), empty_html(NO_ROW)]

    def drawn(self, evaluation_id: str | None, page: float | None, rows: int) -> list[Any]:
        """Status, figures, notes, the table, its page and position, and whether anything can be pressed."""
        if not evaluation_id:
            return [empty_html(NONE), "", "", "", 1, "no rows", *_buttons(None, answered=False)]
        evaluation = self.store.find(evaluation_id)
        state = evaluation.state()
        if state.status == "unreadable":
            return [empty_html(state.cause), "", "", "", 1, "no rows", *_buttons(None, answered=False)]
        config, (answers, prompts) = evaluation.config(), self.read(evaluation)
        titles = evaluation.lane_titles(self.store.runs)
        pace = result.pace(evaluation, len(answers), time.time())
        return [
            status_html(state, len(answers), len(config.lanes), *pace),
            figures_html(titles, answers),
            notes_html(evaluation.id, config, state, titles),
            *self._page(answers, prompts, titles, page, rows),
            *_buttons(state.status, answered=bool(answers.whole)),
        ]

    def page(self, evaluation_id: str | None, page: float | None, rows: int) -> list[Any]:
        """The table at a page, its number, its position."""
        if not evaluation_id:
            return ["", 1, "no rows"]
        evaluation = self.store.find(evaluation_id)
        titles = evaluation.lane_titles(self.store.runs)
        return self._page(*self.read(evaluation), titles, page, rows)

    @staticmethod
    def _page(answers: Answers, prompts: Prompts, titles: list[str], page: float | None, rows: int) -> list[Any]:
        """Finished prompts in the order in which they came, so that a page stays as it is while others come."""
        whole = list(answers.whole)
        number = clamp_page(page, len(whole), rows)
        shown, referenced = [], False
        for at in whole[(number - 1) * rows : number * rows]:
            prompt = prompts[at]
            referenced |= bool(prompt.reference)
            texts = [prompt.question, prompt.reference, *(line["text"] for line in answers.of(at))]
            shown.append([f"{at:,}", *(text[:_CELL] for text in texts)])
        columns = [
            TableColumn("prompt", "#", numeric=True), TableColumn("question", "prompt", wide=True),
            TableColumn("reference", "reference", wide=True),
            *(TableColumn(f"lane {at}", title, wide=True) for at, title in enumerate(titles)),
        ]  # fmt: skip
        if not referenced:
            columns, shown = [*columns[:2], *columns[3:]], [[*cells[:2], *cells[3:]] for cells in shown]
        body = [TableRow(cells[0].replace(",", ""), cells) for cells in shown]
        empty = "No prompt is answered by every lane yet. The longest are asked first."
        drawn = table_html(TablePage(columns, body, empty=empty, plain=True))
        return [drawn, number, position_words(number, len(whole), rows)]

    def row(self, evaluation_id: str | None, number: str) -> str:
        """One prompt in full: what was asked, the reference, each lane's answer."""
        if not evaluation_id or not str(number).isdigit():
            return empty_html(NO_ROW)
        evaluation = self.store.find(evaluation_id)
        (answers, prompts), at = self.read(evaluation), int(number)
        if at >= len(prompts):
            raise StudioError(f"There is no prompt {at}. Expected 0 to {len(prompts) - 1}.")
        prompt = prompts[at]
        parts = [chips_html([(f"Prompt {at:,}", f"row {prompt.row:,} of its source", False)])]
        parts.append(conversation_html(prompt.messages))
        if prompt.reference:
            parts += [chips_html([("Reference", "", False)]), _answer(prompt.reference)]
        lanes = zip(evaluation.lane_titles(self.store.runs), answers.of(at), strict=True)
        for title, line in lanes:
            if line is None:
                continue
            facts = [(title, "", False), (f"{line['tokens']:,}", f"tokens, {END_LABELS[line['end']]}", False)]
            if line.get("f1") is not None:
                facts.append((f"{line['f1']:.3f}", "F1 of words", False))
            if line["note"]:
                facts.append(("!", line["note"], True))
            parts += [chips_html(facts), _answer(line["text"])]
        return "".join(parts)

    # What can be done

    def _chosen(self, evaluation_id: str | None) -> Evaluation:
        if not evaluation_id:
            raise StudioError("No evaluation is chosen. Start one first.")
        return self.store.find(evaluation_id)

    def pause(self, evaluation_id: str | None) -> None:
        """Let an evaluation finish its answers under way and free the memory."""
        process.pause(self._chosen(evaluation_id))
        info("It finishes the answers under way, then frees the memory.", title="Pausing")

    def resume(self, evaluation_id: str | None) -> None:
        """Let a paused evaluation go on."""
        process.resume(self.store, self._chosen(evaluation_id))
        info("It goes on with the prompts that have no answer yet.", title="Resumed")

    def stop(self, evaluation_id: str | None) -> None:
        """End an evaluation; what is answered is kept."""
        process.stop(self._chosen(evaluation_id))
        info("What is answered is kept. Answers under way are dropped.", title="Stopping")

    def delete(self, evaluation_id: str | None, typed: str) -> list[Any]:
        """Remove an ended evaluation with all its files, once its id was typed."""
        evaluation = self._chosen(evaluation_id)
        if (typed or "").strip() != evaluation.id:
            raise StudioError(f"To delete this evaluation with its answers, type its id: {evaluation.id}")
        process.delete(self.store, evaluation)
        self._followed.pop(evaluation.id, None)
        info("Its prompts and answers are gone.", title=f"Deleted {evaluation.id}")
        return [self.listed(None), ""]

    def as_file(self, evaluation_id: str | None, kind: str) -> str:
        return str(result.write(self.store, self._chosen(evaluation_id), kind))

    def open(self, evaluation_id: str | None) -> Iterator[list[Any]]:
        """Open what is answered so far as a data set, and show it in the Data tab."""
        evaluation = self._chosen(evaluation_id)
        job = self.jobs.start(
            f"answers/{evaluation.id}", "Opening the answers", result.as_dataset, self.store, evaluation
        )

        def ended(done: Job) -> list[Any]:
            opened = table.opened_datasets(self.store.settings)
            choices = [(f"{d.source.describe()} ({d.rows:,} rows)", d.id) for d in opened]
            return [gr.update(choices=choices, value=done.result.id), gr.update(selected="data")]

        yield from follow(job, 2, ended)


def _answer(text: str) -> str:
    return conversation_html([{"role": "assistant", "content": text}])


def _buttons(status: str | None, answered: bool) -> list[Any]:
    """Whether Pause, Resume, Stop and Open can be pressed."""
    on = [status in ("preparing", "running"), status in RESUMABLE, status in ACTIVE, answered]
    return [gr.update(interactive=flag) for flag in on]


@dataclass(frozen=True)
class WatchingWidgets:
    evaluation: gr.Dropdown
    pause: gr.Button
    resume: gr.Button
    stop: gr.Button
    status: gr.HTML
    figures: gr.HTML
    table: gr.HTML
    pager: Pager
    row: gr.HTML
    open: gr.Button
    kind: gr.Dropdown
    download: Download
    bar: ProgressBar
    notes: gr.HTML
    typed: gr.Textbox
    delete: gr.Button

    @property
    def drawn(self) -> list[gr.components.Component]:
        return [
            self.status, self.figures, self.notes, self.table, self.pager.page, self.pager.position,
            self.pause, self.resume, self.stop, self.open,
        ]  # fmt: skip


def build_watching() -> WatchingWidgets:
    off = {"interactive": False, "size": "sm", "min_width": 76}
    evaluation = gr.Dropdown(label="Evaluation", allow_custom_value=True, elem_id="evaluation")
    with gr.Row(elem_id="evaluation-buttons"):
        pause = gr.Button("Pause", elem_id="answers-pause", **off)
        resume = gr.Button("Resume", elem_id="answers-resume", **off)
        stop = gr.Button("Stop", variant="stop", elem_id="answers-stop", **off)
    status = gr.HTML(empty_html(NONE), elem_id="answers-status", padding=False)
    figures = gr.HTML(elem_id="answers-figures", padding=False)
    shown = build_data_table("answers-table", "answers-row")
    pager = build_pager("answers-page")
    row = gr.HTML(empty_html(NO_ROW), elem_id="answers-row", padding=False)
    with gr.Row(elem_id="answers-result", equal_height=True):
        opened = gr.Button("Open in the Data tab", elem_id="answers-open", **off)
        kind = gr.Dropdown(
            list(result.FILE_KINDS), value=result.FILE_KINDS[0], label="Kind of file", show_label=False,
            container=False, filterable=False, min_width=110, elem_id="answers-kind",
        )  # fmt: skip
        download = build_download("Download", "answers-download")
    bar = build_progress_bar("answers-opening")
    notes = gr.HTML(elem_id="answers-notes", padding=False)
    with gr.Accordion("Delete", open=False, elem_id="answers-more-of-it"):
        typed = gr.Textbox(label="Delete", info="Type the evaluation's id to delete it with all its answers.",
                           elem_id="answers-delete-id")  # fmt: skip
        delete = gr.Button("Delete for good", variant="stop", size="sm", elem_id="answers-delete")
    return WatchingWidgets(
        evaluation,
        pause,
        resume,
        stop,
        status,
        figures,
        shown,
        pager,
        row,
        opened,
        kind,
        download,
        bar,
        notes,
        typed,
        delete,
    )
