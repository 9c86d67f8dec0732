"""Widgets of the view of one run."""

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from components.chart import build_chart
from components.conversation import empty_html
from components.download import Download, build_download
from components.page_html import PageHTML
from studio.train.run_html import skeleton_html
from studio.train.run_view import METRIC_FIELDS
from studio.train.step_rows import NO_STEP


@dataclass(frozen=True)
class RunViewWidgets:
    """Widgets of the view of one run.

    Attributes:
        starting: Stages of a start, until there is its run.
        label: The tags and the note.
        charts: The column with everything that is shown from the first step on.
        metric: Selects the metric of the second chart.
        samples_at: Selects the evaluation pass whose sample answers are shown.
        row: Selects a row of the step that was clicked in the loss chart.
        made: The accordion around `notes`.
    """

    starting: PageHTML
    status: PageHTML
    label: gr.HTML
    tiles: gr.HTML
    alerts: gr.HTML
    charts: gr.Column
    loss_chart: gr.HTML
    with_previous: gr.Checkbox
    metric: gr.Radio
    metric_chart: gr.HTML
    csv: Download
    report: Download
    made: gr.Accordion
    notes: gr.HTML
    samples_at: gr.Slider
    samples: gr.HTML
    row: gr.Dropdown
    as_tokens: gr.Checkbox
    step: gr.HTML
    row_view: gr.HTML
    exclude: gr.Button
    log: gr.HTML
    read_log: gr.Button

    @property
    def outputs(self) -> dict[str, Block]:
        """Return the components that `RunView.render` updates, by name."""
        names = (
            "status",
            "label",
            "tiles",
            "alerts",
            "charts",
            "loss_chart",
            "with_previous",
            "metric_chart",
            "notes",
            "made",
        )
        return {name: getattr(self, name) for name in names}

    @property
    def detail_outputs(self) -> dict[str, Block]:
        """Return the components that `RunView.clear_details` updates, by name."""
        return {name: getattr(self, name) for name in ("step", "row", "row_view", "log")}

    @property
    def sample_outputs(self) -> dict[str, Block]:
        """Return the components that `RunView.render_samples` updates, by name."""
        return {"samples_at": self.samples_at, "samples": self.samples}


def build_run_view() -> RunViewWidgets:
    """Build the view in the open layout; the charts are hidden until there is a step."""
    starting = PageHTML(elem_id="run-starting", padding=False)
    status = PageHTML(skeleton_html(), elem_id="run-status", padding=False)
    label = gr.HTML(elem_id="run-label", padding=False)
    tiles = gr.HTML(elem_id="run-tiles", padding=False)
    alerts = gr.HTML(elem_id="run-alerts", padding=False)
    with gr.Column(visible=False) as charts:
        loss_chart = build_chart("loss-chart", 290)
        previous = gr.Checkbox(False, label="Show the previous run on this subset", container=False, visible=False,
                               elem_id="with-previous")  # fmt: skip
        with gr.Tabs(elem_id="run-details", overflow_behavior="wrap"):
            with gr.Tab("Metrics"):
                labels = list(METRIC_FIELDS)
                metric = gr.Radio(labels, value=labels[0], label="Metric", show_label=False, container=False,
                                  elem_id="metric")  # fmt: skip
                metric_chart = build_chart("metric-chart", 190)
            with gr.Tab("Rows of a step"):
                step = gr.HTML(empty_html(NO_STEP), elem_id="step", padding=False)
                with gr.Row():
                    row = gr.Dropdown([], label="Row", visible=False, filterable=False, elem_id="step-row")
                    as_tokens = gr.Checkbox(False, label="Show tokens", elem_id="step-tokens")
                    exclude = gr.Button("Create subset without this row", size="sm", elem_id="exclude-row")
                row_view = gr.HTML(elem_id="step-row-shown", padding=False)
            with gr.Tab("Sample answers"):
                samples_at = gr.Slider(0, 1, step=1, label="Evaluation pass", visible=False, elem_id="samples-at")
                samples = gr.HTML(elem_id="samples", padding=False)
            with gr.Tab("Log"):
                read_log = gr.Button("Load the last lines", size="sm", elem_id="read-log")
                log = gr.HTML(elem_id="run-log", padding=False)
        with gr.Row(elem_id="run-downloads"):
            points = build_download("Download points (CSV)", "curves-csv")
            report_zip = build_download("Download report (ZIP)", "run-report")
    with gr.Accordion("How this run was made", open=False, visible=False, elem_id="run-made") as made:
        notes = gr.HTML(elem_id="run-notes", padding=False)
    return RunViewWidgets(
        starting, status, label, tiles, alerts, charts, loss_chart, previous, metric, metric_chart, points, report_zip,
        made, notes, samples_at, samples, row, as_tokens, step, row_view, exclude, log, read_log,
    )  # fmt: skip
