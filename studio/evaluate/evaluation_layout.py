"""Widgets of the view of one evaluation."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block

from components.conversation import skeleton_html
from components.data_table import build_data_table
from components.download import Download, build_download
from components.interval_table import build_interval_table
from components.pager import Pager, build_pager
from components.progress_bar import ProgressBar, build_progress_bar
from core.evaluate import result
from studio.evaluate.classifier_panel import ClassifierWidgets, build_classifier_panel
from studio.evaluate.harness_panel import HarnessWidgets, build_harness_panel
from studio.evaluate.judge_panel import JudgeWidgets, build_judge_panel
from studio.evaluate.push_panel import PushPanelWidgets, build_push_panel
from studio.evaluate.trace_panel import TraceWidgets, build_trace_panel

ANSWER_DRAWER = "evaluate-answers"


@dataclass(frozen=True)
class EvaluationViewWidgets:
    """Widgets of the view of one evaluation.

    Attributes:
        evaluation: Selects the evaluation.
        first: The reference model.
        second: The judged model.
        metric: The metric that decides.
        score: Scores an evaluation that has no scores of this version, and so no verdict.
        grouping: What the prompts are grouped by.
        side: Shows all rows, or those that got better or worse.
        group_filter: Names the group whose rows are shown, and shows all rows when it is pressed.
        selection: The rows that the user chose to see, as fields of `row_selection.Selection`.
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
    first: gr.Dropdown
    second: gr.Dropdown
    metric: gr.Dropdown
    verdict: gr.HTML
    score: gr.Button
    differences: gr.HTML
    explanations: gr.HTML
    ability: gr.HTML
    classes: gr.HTML
    grouping: gr.Dropdown
    groups: gr.HTML
    side: gr.Radio
    group_filter: gr.Button
    selection: gr.State
    table: gr.HTML
    pager: Pager
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
        filters = {"side": self.side, "group_filter": self.group_filter}
        return {"table": self.table, "page": self.pager.page, "position": self.pager.position, **filters}

    @property
    def comparison(self) -> dict[str, Block]:
        """Return the components that say what is compared, by the names of `verdict_view.NAMES`."""
        return {"first": self.first, "second": self.second, "metric": self.metric, "grouping": self.grouping}

    @property
    def outputs(self) -> dict[str, Block]:
        """Return the components that `EvaluationView.render` updates, by name."""
        names = (
            "status", "metrics", "notes", "pause", "resume", "stop", "open", "verdict", "differences", "explanations",
            "ability", "classes", "groups", "score",
        )  # fmt: skip
        return {**{name: getattr(self, name) for name in names}, **self.comparison, **self.table_outputs}


class PanelWidgets(NamedTuple):
    """Widgets of the panels below the verdict, and of the push below the answers."""

    classifiers: ClassifierWidgets
    judge: JudgeWidgets
    trace: TraceWidgets
    harness: HarnessWidgets
    push: PushPanelWidgets


def build_evaluation_view() -> tuple[EvaluationViewWidgets, PanelWidgets]:
    """Build the view in the open layout, with the panels of classifiers, the judge, copied spans and benchmarks."""
    head = _build_head()
    verdict = _build_verdict()
    panels = (build_classifier_panel(), build_judge_panel(), build_trace_panel(), build_harness_panel())
    groups = _build_groups()
    view = EvaluationViewWidgets(**head, **verdict, **groups, **_build_answers(), **_build_rest())
    return view, PanelWidgets(*panels, build_push_panel())


def _build_head() -> dict[str, Block]:
    """Build the list of evaluations, the buttons and the status."""
    hidden = {"interactive": False, "size": "sm", "min_width": 76, "visible": False, "scale": 0}
    with gr.Row(elem_id="evaluation-head", equal_height=True):
        evaluation = gr.Dropdown(label="Evaluation", show_label=False, container=False, allow_custom_value=True,
                                 min_width=200, elem_id="evaluation")  # fmt: skip
        buttons = {
            "pause": gr.Button("Pause", elem_id="evaluate-pause", **hidden),
            "resume": gr.Button("Resume", elem_id="evaluate-resume", **hidden),
            "stop": gr.Button("Stop", variant="stop", elem_id="evaluate-stop", **hidden),
        }
    status = gr.HTML(skeleton_html("Loading the evaluations …"), elem_id="evaluate-status", padding=False)
    return {"evaluation": evaluation, **buttons, "status": status}


def _build_verdict() -> dict[str, Block]:
    """Build the verdict, the choice of what is compared, and the tables of metrics, ability and labels."""
    verdict = gr.HTML(elem_id="evaluate-verdict", padding=False)
    score = gr.Button("Compute the verdict", size="sm", visible=False, elem_id="evaluate-score")
    with gr.Row(elem_id="evaluate-comparison", equal_height=True):
        second, first, metric = (
            gr.Dropdown(label=label, visible=False, min_width=150, elem_id=f"evaluate-{name}")
            for name, label in (("second", "Judged"), ("first", "Compared with"), ("metric", "Decided by"))
        )
    return {
        "verdict": verdict, "score": score, "second": second, "first": first, "metric": metric,
        "differences": build_interval_table("evaluate-differences"),
        "explanations": gr.HTML(elem_id="evaluate-explanations", padding=False),
        "ability": gr.HTML(elem_id="evaluate-ability", padding=False),
        "classes": gr.HTML(elem_id="evaluate-classes", padding=False),
    }  # fmt: skip


def _build_groups() -> dict[str, Block]:
    """Build the table of groups, and the metrics that are shown until there is a verdict."""
    return {
        "grouping": gr.Dropdown(label="By group", visible=False, elem_id="evaluate-grouping"),
        "groups": build_interval_table("evaluate-groups"),
        "metrics": gr.HTML(elem_id="evaluate-metrics", padding=False),
    }


def _build_answers() -> dict[str, Any]:
    """Build the table of answers with its filters, and the answers of one prompt in full."""
    with gr.Row(elem_id="evaluate-filters", equal_height=True):
        side = gr.Radio([], label="Answers", show_label=False, container=False, visible=False, elem_id="evaluate-side")
        group_filter = gr.Button("", size="sm", scale=0, min_width=60, visible=False, elem_id="evaluate-group-filter")
    return {
        "side": side, "group_filter": group_filter, "selection": gr.State({}),
        "table": build_data_table("evaluate-table", "evaluate-prompt"),
        "pager": build_pager("evaluate-page"),
    }  # fmt: skip


def _build_rest() -> dict[str, Any]:
    """Build the buttons that open, download and delete the answers, and the notes on how they were measured."""
    with gr.Row(elem_id="evaluate-result", equal_height=True):
        opened = gr.Button("Open in the Data tab", elem_id="evaluate-open", interactive=False, size="sm", min_width=76)
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
    ways = {"open": opened, "kind": kind, "download": download, "bar": bar}
    return {**ways, "notes": notes, "typed": typed, "delete": delete}
