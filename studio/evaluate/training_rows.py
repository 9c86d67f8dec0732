"""From a poor answer to the next run: the training rows nearest to it, and the settings of its run for another try.

The rows open in the Data tab, where edits, exclusions and additions become a part of the next subset's recipe.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.conversation import skeleton_html
from components.data_table import build_data_table
from core.data import subset
from core.errors import StudioError
from core.evaluate.config import parse_lane
from core.evaluate.lineage import usual_lanes
from core.evaluate.store import Evaluation, EvaluationStore
from core.runs.store import Run
from studio.event_values import parse_index, row_number, table_value
from studio.handlers import info
from studio.source_rows import nearest_rows_html, row_to_open, source_of
from studio.wiring import HEAVY, PRIVATE, UNLIMITED, connect

_ADVICE = (
    "Click one to open it in the Data tab, where you can edit it, leave it out or add others; then create a subset."
)
_NO_PROMPT = "No prompt is open. Click a row of the table of answers first."


class TrainingRows:
    """Event handlers below the answers of one prompt."""

    def __init__(self, store: EvaluationStore):
        self.store, self.settings = store, store.settings

    def offer(self, evaluation_id: str | None, prompt: Any) -> dict[str, Any]:
        """Return the choice of tuned models whose training rows can be searched, for a prompt that was just opened.

        Args:
            evaluation_id: The selected evaluation.
            prompt: The prompt's index, as the table's event carries it.
        """
        index = parse_index(prompt)
        if not evaluation_id or index is None:
            return self.clear()
        evaluation = self.store.find(evaluation_id)
        lanes = evaluation.config().lanes
        titles = evaluation.lane_titles(self.store.runs)
        tuned = [(titles[number], str(number)) for number, lane in enumerate(lanes) if parse_lane(lane)[0]]
        usual = usual_lanes(lanes, self.store.runs)
        judged = str(usual[1]) if usual else "0"
        values = [value for _, value in tuned]
        chosen = judged if judged in values else next(iter(values), None)
        return {
            "prompt": index,
            "of": evaluation_id,
            "lane": gr.update(choices=tuned, value=chosen, visible=len(tuned) > 1),
            **{name: gr.update(visible=bool(tuned)) for name in ("search", "again")},
            "rows": "",
            "source": None,
        }

    def clear(self, evaluation_id: str | None = None, of: str = "") -> dict[str, Any]:
        """Return updates that hide everything; nothing if the open prompt is of the selected evaluation.

        Args:
            evaluation_id: The selected evaluation.
            of: The evaluation whose prompt is open. The list of evaluations can be filled again after it was opened.
        """
        if of and of == evaluation_id:
            return {}
        hidden = {name: gr.update(visible=False) for name in ("lane", "search", "again")}
        return {"prompt": None, "rows": "", "source": None, "of": "", **hidden}

    def find_rows(self, evaluation_id: str | None, prompt: int | None, lane: str | None) -> Iterator[dict[str, Any]]:
        """Find the training rows nearest to a lane's answer.

        Yields:
            `rows`: the table; `source`: the dataset that its rows are in.
        """
        yield {"rows": skeleton_html("Searching the training rows …")}
        try:
            yield self._search(evaluation_id, prompt, lane)
        except StudioError:
            yield {"rows": ""}
            raise

    def _search(self, evaluation_id: str | None, prompt: int | None, lane: str | None) -> dict[str, Any]:
        if prompt is None:
            raise StudioError(_NO_PROMPT)
        evaluation, number, run = self._find_lane(evaluation_id, lane)
        if not 0 <= prompt < len(evaluation.prompts()):
            raise StudioError(f"This evaluation has no prompt {prompt}. Click a row of the table of answers.")
        line = evaluation.answers().read(prompt)[number]
        if line is None:
            raise StudioError(f"This model has not answered prompt {prompt:,} yet. Wait for its answer.")
        known = subset.find(self.settings, run.config().subset)
        title = self.store.runs.titles().get(run.id, run.title)
        rows = nearest_rows_html(self.settings, known, title, line["text"], _ADVICE)
        return {"rows": rows, "source": source_of(known)}

    def open_row(self, source: dict[str, Any] | None, row: int) -> dict[str, Any]:
        """Return the row that the Data tab should open: its dataset, how that is read, and the row's number."""
        if not source:
            raise StudioError("No rows are listed yet. Press “Similar training rows” below the answers first.")
        return row_to_open(self.settings, source, row)

    def next_run(self, evaluation_id: str | None, lane: str | None) -> tuple[str, str]:
        """Return the run to train again, and the newest subset of the dataset that it was trained on."""
        _, _, run = self._find_lane(evaluation_id, lane)
        own = run.subset()
        if own is None:
            raise StudioError(f"The run {run.id} has no readable subset.json, so its dataset is not known. Choose a "
                              "subset in the Train tab.")  # fmt: skip
        # The newest is the last of the list.
        of_dataset = [known for known in subset.subsets(self.settings) if known.recipe.dataset == own.recipe.dataset]
        if not of_dataset:
            raise StudioError(f"The dataset of the run {run.id} has no subset any more. Create one in the Data tab.")
        newest = of_dataset[-1]
        if newest.sha256 == own.sha256:
            info(f"{newest.name} has the rows of this run. To change them, open a training row in the Data tab, edit "
                 "it there and create a subset: it is chosen here then.", title="No newer subset yet")  # fmt: skip
        else:
            info(f"The settings are those of this run; the subset is {newest.name}, the newest one of its dataset. "
                 "Press Start when it is what you want.", title="Ready to train again")  # fmt: skip
        return run.id, newest.name

    def _find_lane(self, evaluation_id: str | None, lane: str | None) -> tuple[Evaluation, int, Run]:
        """Return an evaluation, and the number and run of one of its tuned lanes."""
        if not evaluation_id:
            raise StudioError(_NO_PROMPT)
        evaluation = self.store.find(evaluation_id)
        lanes = evaluation.config().lanes
        number = parse_index(lane)
        if number is None or number >= len(lanes) or not parse_lane(lanes[number])[0]:
            raise StudioError("Only a tuned model has training rows. Choose one of the runs of this evaluation.")
        return evaluation, number, self.store.runs.run(parse_lane(lanes[number])[0])


@dataclass(frozen=True)
class TrainingRowsWidgets:
    """Widgets below the answers of one prompt.

    Attributes:
        lane: The tuned model whose rows are searched; its value is the lane's number.
        search: Searches.
        again: Fills the Train tab's form with the run's settings.
        rows: The rows that were found.
        prompt: Index of the open prompt, or None.
        source: The dataset of the listed rows.
        row_wanted: A training row that the Data tab should open (`TrainingRows.open_row`).
        of: Id of the evaluation whose prompt is open; empty if none is.
    """

    lane: gr.Radio
    search: gr.Button
    again: gr.Button
    rows: gr.HTML
    prompt: gr.State
    source: gr.State
    row_wanted: gr.State
    of: gr.State

    @property
    def outputs(self) -> dict[str, Block]:
        """Return the components that `TrainingRows.offer` updates, by name."""
        return {name: getattr(self, name) for name in ("lane", "search", "again", "rows", "prompt", "source", "of")}


def build_training_rows() -> TrainingRowsWidgets:
    """Build the widgets in the open layout; they are hidden until a prompt is open."""
    lane = gr.Radio([], label="Answer of", visible=False, elem_id="evaluate-rows-lane")
    with gr.Row(elem_id="evaluate-rows-actions"):
        hidden = {"size": "sm", "min_width": 150, "visible": False}
        search = gr.Button("Similar training rows", elem_id="evaluate-rows-search", **hidden)
        again = gr.Button("Train this model again", elem_id="evaluate-again", **hidden)
    rows = build_data_table("evaluate-rows", "row-shown")
    return TrainingRowsWidgets(lane, search, again, rows, gr.State(None), gr.State(None), gr.State(None), gr.State(""))


def connect_training_rows(
    do: TrainingRows, widgets: TrainingRowsWidgets, evaluation: gr.Dropdown, answers: gr.HTML
) -> None:
    """Connect the widgets.

    Args:
        do: The handlers.
        widgets: The widgets.
        evaluation: Selects the evaluation.
        answers: The table of answers, whose rows open a prompt.
    """
    selected = {"evaluation_id": evaluation}

    def offer(evaluation_id: str | None, event: gr.EventData) -> dict[str, Any]:
        return do.offer(evaluation_id, table_value(event))

    def open_row(source: dict[str, Any] | None, event: gr.EventData) -> dict[str, Any]:
        return {"row_wanted": do.open_row(source, row_number(event))}

    connect(answers.open_row, offer, selected, widgets.outputs, **UNLIMITED)
    connect(evaluation.change, do.clear, {**selected, "of": widgets.of}, widgets.outputs, **UNLIMITED)
    asked = {**selected, "prompt": widgets.prompt, "lane": widgets.lane}
    found = {"rows": widgets.rows, "source": widgets.source}
    connect(widgets.search.click, do.find_rows, asked, found, **PRIVATE, **HEAVY)
    connect(
        widgets.rows.open_row, open_row, {"source": widgets.source}, {"row_wanted": widgets.row_wanted}, **UNLIMITED
    )
