"""Drawer with one prompt in full: its answers as text, with spans copied from training, or colored by likelihood."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from components.conversation import empty_html
from core.errors import StudioError
from core.evaluate.lens import LensReader
from core.evaluate.line_file import Line
from core.evaluate.memorization import tracing
from core.evaluate.memorization.tracing import Traces
from core.evaluate.store import Evaluation
from core.system.files import file_size
from studio.evaluate.answer_marks import copied_html, copied_legend, likelihood_html, likelihood_legend
from studio.evaluate.evaluation_html import NO_PROMPT, prompt_html
from studio.evaluate.evaluation_view import EvaluationView
from studio.evaluate.verdict_view import Comparison
from studio.event_values import parse_index
from studio.html import read_static

TEXT, COPIED, LIKELIHOOD = "text", "copied", "likelihood"
_MARKS = {TEXT: "Text", COPIED: "Copied from training", LIKELIHOOD: "Likelihood"}
# Number of evaluations whose lens files stay indexed.
_MAX_CACHED = 20


@dataclass(frozen=True)
class DrawerWidgets:
    """Widgets in the drawer.

    Attributes:
        marks: Chooses how the answers are shown; hidden if there is only their text.
        prompt: Shows the prompt; its event `pick_span` carries the row of a copied span.
        shown: Number of the prompt that is shown; "" for none.
    """

    marks: gr.Radio
    prompt: gr.HTML
    shown: gr.State

    @property
    def outputs(self) -> dict[str, gr.blocks.Block]:
        """Return the components that `PromptDrawer.show` updates, by name."""
        return {"marks": self.marks, "prompt": self.prompt, "shown": self.shown}


def build_prompt_drawer() -> DrawerWidgets:
    """Build the content of the drawer in the open layout."""
    marks = gr.Radio(
        [(label, name) for name, label in _MARKS.items()], value=TEXT, label="Show answers as", visible=False,
        elem_id="evaluate-marks",
    )  # fmt: skip
    prompt = gr.HTML(
        empty_html(NO_PROMPT), js_on_load=read_static("evaluate_prompt.js"), elem_id="evaluate-prompt", padding=False
    )
    return DrawerWidgets(marks, prompt, gr.State(""))


class PromptDrawer:
    """Event handlers of the drawer."""

    def __init__(self, view: EvaluationView):
        self.view, self.store = view, view.store
        self._lenses: dict[str, LensReader] = {}

    @staticmethod
    def clear() -> dict[str, Any]:
        """Return the drawer without a prompt."""
        return {"prompt": empty_html(NO_PROMPT), "shown": "", "marks": gr.update(visible=False)}

    def show(self, evaluation_id: str | None, number: str, marks: str = TEXT, **comparison: Any) -> dict[str, Any]:
        """Return one prompt in full, with its reference and each lane's answer, and the ways to show the answers.

        Args:
            evaluation_id: The selected evaluation.
            number: The prompt's index, as the table's event carries it.
            marks: How the answers are to be shown; as text if this evaluation lacks what they need.
            **comparison: What is compared, by the names of `verdict_view.NAMES`.
        """
        index = parse_index(number)
        if not evaluation_id or index is None:
            return self.clear()
        evaluation = self.store.find(evaluation_id)
        answers, asked = self.view.read(evaluation)
        if index >= len(asked):
            raise StudioError(f"There is no prompt {index}. Expected 0 to {len(asked) - 1}.")
        compared = self.view.compare(evaluation, comparison)
        traces = self._traces(evaluation, compared)
        lens = self._lens(evaluation)
        offered = [TEXT, *[COPIED] * bool(traces), *[LIKELIHOOD] * bool(lens)]
        marks = marks if marks in offered else TEXT
        titles, lines = evaluation.lane_titles(self.store.runs), answers.read(index)
        marked, legend = {}, ""
        if marks == COPIED:
            marked, legend = self._copied(traces, index, lines)
        elif marks == LIKELIHOOD:
            marked, legend = self._likelihood(lens.read(index), lines, compared, titles)
        return {
            "prompt": prompt_html(index, asked[index], list(zip(titles, lines, strict=True)), marked, legend),
            "shown": str(index),
            "marks": gr.update(
                choices=[(_MARKS[name], name) for name in offered], value=marks, visible=len(offered) > 1
            ),
        }

    def _traces(self, evaluation: Evaluation, compared: Comparison) -> Traces | None:
        lanes = evaluation.config().lanes
        return tracing.find(evaluation, tracing.traced_run(lanes, compared.first, compared.second))

    def _copied(self, traces: Traces, index: int, lines: list[Line | None]) -> tuple[dict[int, Markup], Markup]:
        """Return the answers with their copied spans, by lane, and the legend."""
        found, subset = traces.spans(index), traces.about.subset
        marked = {lane: copied_html(lines[lane]["text"], spans, subset) for lane, spans in found.items()}
        return marked, copied_legend(subset, self.store.runs.titles().get(traces.run, traces.run))

    def _lens(self, evaluation: Evaluation) -> LensReader | None:
        """Return the likelihoods of an evaluation; None if they were not measured, or there is one lane only."""
        lanes = len(evaluation.config().lanes)
        if lanes < 2 or not file_size(evaluation.lens_file):
            return None
        found = self._lenses.get(evaluation.id)
        if found is None:
            while len(self._lenses) >= _MAX_CACHED:
                # Another page may empty the cache at the same time, hence the default.
                self._lenses.pop(next(iter(self._lenses)), None)
            found = self._lenses[evaluation.id] = LensReader(evaluation.lens_file, lanes)
        return found.update()

    @staticmethod
    def _likelihood(
        measured: list[Line | None], lines: list[Line | None], compared: Comparison, titles: list[str]
    ) -> tuple[dict[int, Markup], Markup]:
        """Return the answers with colored tokens, by lane, and the legend."""
        first, second = compared.first, compared.second
        marked = {
            lane: likelihood_html(line["text"], measured[lane], first, second, titles)
            for lane, line in enumerate(lines)
            if line is not None
        }
        return marked, likelihood_legend(titles[first], titles[second])
