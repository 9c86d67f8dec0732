"""The bar above the tabs: what exists at each step from data to export, and the one thing that comes next.

It is made from the files of STUDIO_HOME alone, so it says the same in every browser and after a restart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from core.access import roles
from core.data import subset
from core.data.subset import Subset
from core.errors import StudioError
from core.evaluate.config import parse_lane
from core.evaluate.store import ACTIVE as EVALUATION_ACTIVE
from core.evaluate.store import Evaluation, EvaluationStore
from core.runs import example, process
from core.runs.names import make_distinct
from core.runs.store import ACTIVE, NOT_ENDED, Run, RunStore
from studio.choices import own_subsets
from studio.event_values import names_of
from studio.html import read_static, render
from studio.wiring import UNLIMITED, Named, connect

TABS = ("data", "train", "chat", "evaluate", "export")
_VERBS = {
    "queued": "waits in the queue", "preparing": "is being prepared", "running": "is running",
    "stopping": "is stopping",
}  # fmt: skip
# While something runs, the bar is updated by a timer; the Train tab has its own, faster one.
POLL_SECONDS = 10


@dataclass(frozen=True)
class Action:
    """A button of the bar: the tab that it opens, and the subset or run that it chooses there."""

    label: str
    tab: str
    subset: str = ""
    run: str = ""


@dataclass(frozen=True)
class Journey:
    """State of a STUDIO_HOME as the bar shows it.

    Attributes:
        steps: Per tab, what exists.
        text: What the caller can do next, as a sentence.
        actions: Buttons for it, the most likely one first.
        active: Names of the runs and evaluations that are working now.
        ended: Per name of a run or evaluation that has ended, its status; the page announces those that were active.
    """

    steps: dict[str, str]
    text: str
    actions: tuple[Action, ...]
    active: tuple[str, ...]
    ended: dict[str, str]


def count_text(number: int, noun: str) -> str:
    """Return "no run", "1 run" or "2 runs"."""
    return f"{number:,} {noun}{'s' if number > 1 else ''}" if number else f"no {noun}"


class JourneyBar:
    """Event handlers of the bar. They hold no widgets, so tests call them directly."""

    def __init__(
        self, runs: RunStore, evaluations: EvaluationStore,
        compare_with_base: Callable[[str, str], dict[str, Any]] = lambda chat_id, run_id: {},
    ):  # fmt: skip
        """Collect what the handlers need.

        Args:
            runs: All runs.
            evaluations: All evaluations.
            compare_with_base: Lets a run answer beside its base model in a conversation.
        """
        self.runs, self.evaluations, self.settings = runs, evaluations, runs.settings
        self.compare_with_base = compare_with_base

    def render(self) -> dict[str, Any]:
        """Return the bar, and let its timer run while something works."""
        journey = self.journey()
        return {"bar": render("journey/bar", journey=journey), "timer": gr.Timer(active=bool(journey.active))}

    def journey(self) -> Journey:
        """Return what exists for the caller, and what comes next."""
        subsets = own_subsets(self.settings)
        runs = [(run, run.state().status) for run in self.runs.runs() if not run.label().archived]
        own = [(run, status) for run, status in runs if not example.is_example(run.id)]
        evaluations = self.evaluations.folders() if roles.caller().is_owner else []
        states = [(evaluation, evaluation.state().status) for evaluation in evaluations]
        titles = self.runs.titles()
        working = [titles.get(run.id, run.title) for run, status in own if status in ACTIVE]
        names = _evaluation_names(evaluations, titles)
        working += [names[found.id] for found, status in states if status in EVALUATION_ACTIVE]
        text, actions = self._next_step(subsets, runs, own, evaluations)
        return Journey(
            steps={
                "data": count_text(len(subsets), "subset") if subsets else "bundled data",
                "train": count_text(len(own), "run") if own or not runs else "example run",
                "chat": _tuned_text([run for run, _ in runs]),
                "evaluate": count_text(len(evaluations), "evaluation"),
                "export": "export",
            },
            text=text,
            actions=actions,
            active=tuple(working),
            ended={titles.get(run.id, run.title): status for run, status in own if status not in NOT_ENDED}
            | {names[found.id]: status for found, status in states if status not in EVALUATION_ACTIVE},
        )

    def _next_step(
        self, subsets: list[Subset], runs: list[tuple[Run, str]], own: list[tuple[Run, str]],
        evaluations: list[Evaluation],
    ) -> tuple[str, tuple[Action, ...]]:  # fmt: skip
        """Return the sentence and the buttons of the next step; `runs` includes the example, `own` does not."""
        if not roles.caller().is_owner:
            return _next_of_visitor(runs)
        for run, status in own:
            if status in NOT_ENDED:
                return f"{run.title} {_VERBS[status]}.", (Action("Watch it", "train", run=run.id),)
        trained_on = {found.name for run, _ in own if (found := run.subset())}
        if subsets and subsets[-1].name not in trained_on:
            name = subsets[-1].name
            return f"The subset {name} is ready.", (Action("Train on it", "train", subset=name),)
        if newest := example.newest_result(run for run, _ in own):
            return self._after_training(newest, evaluations)
        again = Action("Train your own", "train")
        if runs and any(run.adapters() for run, _ in runs):
            return "The example run can answer already, beside its base model.", (Action("Ask both", "chat"), again)
        return "Nothing is trained yet.", (Action("Train the quick demo", "train"),)

    def _after_training(self, run: Run, evaluations: list[Evaluation]) -> tuple[str, tuple[Action, ...]]:
        chat = Action("Ask base and tuned", "chat", run=run.id)
        export = Action("Export it", "export", run=run.id)
        if any(_uses(evaluation, run.id) for evaluation in evaluations):
            return f"{run.title} is trained and evaluated.", (export, chat)
        is_finished = run.state().status == "finished"
        text = "is finished" if is_finished else f"ended at step {process.last_step(run):,}, and its adapter can answer"
        return f"{run.title} {text}.", (chat, Action("Evaluate it", "evaluate", run=run.id), export)

    def go(self, tab: str, subset_name: str, run_id: str, chat_id: str = "") -> dict[str, Any]:
        """Return the updates that open a tab and choose a subset or a run there; empty names choose nothing.

        Args:
            tab: One of TABS.
            subset_name: The subset to train on.
            run_id: The run to watch, to ask, to evaluate or to export.
            chat_id: The conversation that the page shows; empty before it shows any.

        Raises:
            StudioError: There is no such tab, or the caller may not see that subset or run.
        """
        if tab not in TABS:
            raise StudioError(f"There is no tab {tab!r}. There are: {', '.join(TABS)}.")
        updates: dict[str, Any] = {"tabs": gr.update(selected=tab)}
        if subset_name:
            updates["subset"] = gr.update(value=subset.find(self.settings, subset_name).name)
        if run_id:
            # The tabs that list runs refresh their lists when they are opened, and keep what is chosen.
            listed = {"train": "run", "evaluate": "evaluated", "export": "exported"}
            found = self.runs.run(run_id).id
            if tab in listed:
                updates[listed[tab]] = gr.update(value=found)
            if tab == "train":
                updates["views"] = gr.update(selected="run")
            if tab == "chat" and chat_id:
                updates |= self.compare_with_base(chat_id, found)
        return updates


def _tuned_text(runs: list[Run]) -> str:
    """Return how many of the user's own runs can answer, or that the example can."""
    answering = [run for run in runs if run.adapters()]
    own = [run for run in answering if not example.is_example(run.id)]
    return "example model" if answering and not own else count_text(len(own), "tuned model")


def _next_of_visitor(runs: list[tuple[Run, str]]) -> tuple[str, tuple[Action, ...]]:
    look = Action("Read the data", "data")
    if any(run.adapters() for run, _ in runs):
        return "Ask the base and the tuned model the same question.", (Action("Chat with both", "chat"), look)
    return "Ask the base model a question, or read the data.", (Action("Chat", "chat"), look)


def _evaluation_names(evaluations: list[Evaluation], titles: dict[str, str]) -> dict[str, str]:
    """Return a readable name for each evaluation by its id: which runs it evaluates, on how many prompts.

    Args:
        evaluations: The evaluations.
        titles: Titles of the runs by id.
    """
    names, states = [], [evaluation.saved_state() for evaluation in evaluations]
    for evaluation, state in zip(evaluations, states, strict=True):
        try:
            ids = dict.fromkeys(run for run, _ in map(parse_lane, evaluation.config().lanes) if run)
            of = ", ".join(titles.get(run, run) for run in ids) or "the base model"
        except StudioError:
            # The Evaluate tab reports the damaged folder.
            of = evaluation.id
        names.append(f"evaluation of {of} on {state.prompts:,} prompt{'s' * (state.prompts != 1)}")
    ids = [evaluation.id for evaluation in evaluations]
    return dict(zip(ids, make_distinct(names, [state.created for state in states], ids), strict=True))


def _uses(evaluation: Evaluation, run_id: str) -> bool:
    """Return whether a finished evaluation has a lane of a run; one that cannot be read has none."""
    try:
        return any(parse_lane(lane)[0] == run_id for lane in evaluation.config().lanes)
    except StudioError:
        # The Evaluate tab reports the damaged folder.
        return False


def build_journey_bar() -> gr.HTML:
    """Build the bar in the open layout; listen to `.go`, whose event has `tab`, `subset` and `run`."""
    return gr.HTML(
        '<div class="jb"><span class="jb-next">Loading …</span></div>',
        js_on_load=read_static("journey.js"),
        elem_id="journey",
        padding=False,
    )


def connect_journey(
    do: JourneyBar, bar: gr.HTML, changes: list[Callable[..., Any]], chosen: Named, chat_id: gr.State
) -> list[Any]:
    """Update the bar whenever something may have changed, and let its buttons open tabs.

    Args:
        do: The handlers.
        bar: What `build_journey_bar` returned.
        changes: Events after which there may be other subsets, runs or evaluations.
        chosen: The page's tabs, and what a button chooses there: `subset`, `run`, `views`, `evaluated`, `exported`, and
            the lanes of the chat.
        chat_id: The conversation that the page shows.

    Returns:
        The events of the buttons, for what follows them.
    """
    timer = gr.Timer(POLL_SECONDS, active=False)
    outputs = {"bar": bar, "timer": timer}
    connect(partial(gr.on, [*changes, timer.tick]), do.render, outputs=outputs, visitor=True, **UNLIMITED)

    def go(chat_id: str, event: gr.EventData) -> dict[str, Any]:
        return do.go(*names_of(event, "tab", "subset", "run"), chat_id)

    return [connect(bar.go, go, {"chat_id": chat_id}, chosen, visitor=True, **UNLIMITED)]


def connect_next_steps(
    do: JourneyBar, buttons: Mapping[str, gr.Button], run: gr.Dropdown, chosen: Named, chat_id: gr.State
) -> list[Any]:
    """Let buttons of one run open the other tabs with it.

    Args:
        do: The handlers.
        buttons: By the tab that each one opens.
        run: The selected run.
        chosen: As in `connect_journey`.
        chat_id: The conversation that the page shows.

    Returns:
        The events of the buttons, for what follows them.
    """

    def opener(tab: str) -> Callable[..., dict[str, Any]]:
        """Return a handler that opens a tab with the selected run."""

        def open_with_run(run_id: str | None, chat_id: str) -> dict[str, Any]:
            return do.go(tab, "", run_id or "", chat_id)

        return open_with_run

    inputs = {"run_id": run, "chat_id": chat_id}
    return [connect(button.click, opener(tab), inputs, chosen, **UNLIMITED) for tab, button in buttons.items()]
