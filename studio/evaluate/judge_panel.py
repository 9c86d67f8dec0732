"""Panel of the judge: a server or a local model compares the answers, and the counts of its replies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from components.progress_bar import ProgressBar, build_progress_bar
from core.errors import StudioError
from core.evaluate import scores as scores_file
from core.evaluate.judge.endpoint import KEY_VARIABLE
from core.evaluate.judge.jobs import judge_by_server, judge_here
from core.evaluate.judge.judging import Pair, list_pairs, read_judgments
from core.evaluate.judge.people import blind_votes
from core.evaluate.judge.summary import summarize
from core.evaluate.store import Evaluation
from core.models import catalogue
from core.system.jobs import Jobs
from studio.evaluate.evaluation_view import EvaluationView
from studio.html import render
from studio.job_bars import JobBars
from studio.job_progress import follow
from studio.wiring import UNLIMITED, connect

KIND = "judge"
HERE, SERVER = "here", "server"
_KINDS = [("A model on this machine", HERE), ("A server with an OpenAI-compatible address", SERVER)]


class JudgeActions:
    """Event handlers of the judge's panel."""

    def __init__(self, view: EvaluationView, jobs: Jobs):
        self.view, self.store, self.jobs = view, view.store, jobs

    def list_models(self) -> dict[str, Any]:
        """Return the models that can judge here."""
        models = [(model.label, model.name) for model in catalogue.available(self.store.settings) if model.local]
        return {"local": gr.update(choices=models)}

    @staticmethod
    def show_kind(kind: str) -> dict[str, Any]:
        """Show the fields of a kind of judge."""
        fields = {"local": HERE, "url": SERVER, "model": SERVER, "key": SERVER}
        return {name: gr.update(visible=kind == needed) for name, needed in fields.items()}

    def judge(
        self, evaluation_id: str | None, kind: str, local: str | None, url: str, model: str, key: str,
        first: str | None = None, second: str | None = None,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Ask the judge about all prompts without a valid reply, and show the counts.

        Args:
            evaluation_id: The selected evaluation.
            kind: Whether a local model or a server judges.
            local: The local model.
            url: The server's address.
            model: The model's name on the server.
            key: The server's secret, which is used for this call only.
            first: The reference lane.
            second: The judged lane.
        """
        if not evaluation_id:
            raise StudioError("No evaluation is selected. Start one, or select one in the list.")
        evaluation = self.store.find(evaluation_id)
        if len(evaluation.config().lanes) < 2:
            raise StudioError(
                "A judge compares two models, but this evaluation has one. Start an evaluation with two models."
            )
        compared = self.view.verdicts.compare(evaluation, first, second, None, None)
        name = (local if kind == HERE else model) or ""
        if not name.strip():
            raise StudioError("No judge is chosen. Choose a model, or enter the name that the server knows.")
        pair = Pair(compared.first, compared.second, name.strip())
        title = f"Asking {name.strip()}"
        if kind == HERE:
            job = self.jobs.start(f"{KIND}/{evaluation.id}", title, judge_here, evaluation, pair, self.store.settings)
        else:
            job = self.jobs.start(f"{KIND}/{evaluation.id}", title, judge_by_server, evaluation, pair, url, key)
        yield from follow(job, lambda done: self.show(evaluation_id))

    def show(self, evaluation_id: str | None) -> dict[str, Any]:
        """Return the counts of all judges of an evaluation."""
        if not evaluation_id:
            return {"judged": ""}
        evaluation = self.store.find(evaluation_id)
        pairs = list_pairs(evaluation)
        return {"judged": judges_html(self, evaluation, pairs) if pairs else ""}


def judges_html(do: JudgeActions, evaluation: Evaluation, pairs: list[Pair]) -> str:
    """Return the counts of all judges of an evaluation.

    Args:
        do: The handlers, for the stores.
        evaluation: The evaluation.
        pairs: The pairs that were judged.
    """
    titles, scored = evaluation.lane_titles(do.store.runs), scores_file.find(evaluation)
    judges = []
    for pair in pairs:
        votes = blind_votes(do.store, evaluation, pair)
        found = summarize(read_judgments(evaluation, pair), votes, scored.clusters if scored else None)
        judges.append({"name": pair.judge, "first": titles[pair.first], "second": titles[pair.second], "found": found})
    return render("evaluate/judges", judges=judges)


@dataclass(frozen=True)
class JudgeWidgets:
    """Widgets of the judge's panel.

    Attributes:
        box: The panel.
        kind: Whether a local model or a server judges.
        local: The local model.
        url: The server's address.
        model: The model's name on the server.
        key: The server's secret.
        start: Starts the judging.
        bar: Its progress.
        judged: The counts.
    """

    box: gr.Accordion
    kind: gr.Radio
    local: gr.Dropdown
    url: gr.Textbox
    model: gr.Textbox
    key: gr.Textbox
    start: gr.Button
    bar: ProgressBar
    judged: gr.HTML


def build_judge_panel() -> JudgeWidgets:
    """Build the panel in the open layout."""
    with gr.Accordion("Judge", open=False, elem_id="evaluate-judge") as box:
        gr.Markdown(
            "A judge reads each prompt with both answers, in both orders, and says which is better. It is one more "
            "opinion: the summary shows how often it contradicts itself, and how often people agree.",
            elem_classes="qs-note",
        )
        kind = gr.Radio(_KINDS, value=HERE, label="Judge", show_label=False, elem_id="judge-kind")
        local = gr.Dropdown(label="Model", elem_id="judge-local")
        url = gr.Textbox(label="Address", placeholder="https://api.example.com/v1", visible=False, elem_id="judge-url")
        model = gr.Textbox(label="Model", info="The name that the server knows.", visible=False, elem_id="judge-model")
        key = gr.Textbox(
            label="Key", type="password", visible=False, elem_id="judge-key",
            info=f"Used for this judging only, never saved. If it is empty, the key in {KEY_VARIABLE} is used, if any.",
        )  # fmt: skip
        start = gr.Button("Ask the judge", size="sm", elem_id="judge-start")
        bar = build_progress_bar("judge-progress")
        judged = gr.HTML(elem_id="evaluate-judged", padding=False)
    return JudgeWidgets(box, kind, local, url, model, key, start, bar, judged)


def connect_judge(
    do: JudgeActions, widgets: JudgeWidgets, evaluation: gr.Dropdown, compared: dict[str, gr.Dropdown], demo: gr.Blocks,
    changes: list[Callable[..., Any]], bars: JobBars,
) -> None:  # fmt: skip
    """Connect the panel.

    Args:
        do: The handlers.
        widgets: The panel's widgets.
        evaluation: Selects the evaluation.
        compared: Chooses the reference lane (`first`) and the judged lane (`second`).
        demo: The page, for its load event.
        changes: Events after which models may have changed.
        bars: Progress bars of all jobs.
    """
    shown = {"judged": widgets.judged}
    job = bars.add(widgets.bar, KIND, shown=shown, box=widgets.box)
    connect(partial(gr.on, [demo.load, *changes]), do.list_models, outputs={"local": widgets.local}, **UNLIMITED)
    fields = {name: getattr(widgets, name) for name in ("local", "url", "model", "key")}
    connect(widgets.kind.input, do.show_kind, {"kind": widgets.kind}, fields, **UNLIMITED)
    selected = {"evaluation_id": evaluation}
    connect(partial(gr.on, [evaluation.change, job.ended.change]), do.show, selected, shown, **UNLIMITED)
    connect(
        widgets.start.click,
        do.judge,
        {**selected, "kind": widgets.kind, **fields, **compared},
        job.outputs,
        show_progress="hidden",
        api_name="judge_answers",
    )
