"""The bar above the tabs: what exists at each step from data to export, and the one thing that comes next.

It is made from the files of STUDIO_HOME alone, so it says the same in every browser and after a restart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.access import roles
from core.data import subset, table
from core.data.subset import Subset
from core.data.table import Dataset
from core.errors import StudioError
from core.evaluate import result
from core.evaluate.config import parse_lane
from core.evaluate.store import ACTIVE as EVALUATION_ACTIVE
from core.evaluate.store import Evaluation, EvaluationStore
from core.runs import example, process
from core.runs.names import make_distinct
from core.runs.store import ACTIVE, NOT_ENDED, Run, RunStore
from core.settings import is_plain_name
from core.system.files import modified_ns
from studio.choices import dataset_choices, own_subsets
from studio.data.tab_state import CREATE_TOOL
from studio.handlers import warn
from studio.html import render

TABS = ("data", "train", "chat", "evaluate", "export")
_VERBS = {
    "queued": "waits in the queue", "preparing": "is being prepared", "running": "is running",
    "stopping": "is stopping",
}  # fmt: skip
_OPENED_KINDS = ("upload", "folder", "hub")


@dataclass(frozen=True)
class Action:
    """A button of the bar: the tab that it opens, and the subset, run or dataset that it chooses there.

    Attributes:
        chosen: How the tab's list begins where that is chosen already; the page then hides the button.
    """

    label: str
    tab: str
    subset: str = ""
    run: str = ""
    dataset: str = ""
    chosen: str = ""


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
        compare_with_base: Callable[..., dict[str, Any]] = lambda run_id, **chat: {},
    ):  # fmt: skip
        """Collect what the handlers need.

        Args:
            runs: All runs.
            evaluations: All evaluations.
            compare_with_base: Lets a run answer beside its base model; takes the run, and the chat by name.
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
        evaluated = [evaluation for evaluation, status in states if status == "finished"]
        text, actions = self._next_step(subsets, runs, own, evaluated)
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
        evaluated: list[Evaluation],
    ) -> tuple[str, tuple[Action, ...]]:  # fmt: skip
        """Return the sentence and the buttons of the next step.

        Args:
            subsets: The caller's own subsets.
            runs: All runs that the caller may see, with their statuses.
            own: Those without the example.
            evaluated: The finished evaluations.
        """
        if not roles.caller().is_owner:
            return _next_of_visitor(runs)
        for run, status in own:
            if status in NOT_ENDED:
                return f"{run.title} {_VERBS[status]}.", (Action("Watch it", "train", run=run.id, chosen=run.title),)
        trained_on = {found.name for run, _ in own if (found := run.subset())}
        if subsets and subsets[-1].name not in trained_on:
            name = subsets[-1].name
            return f"The subset {name} is ready.", (Action("Train on it", "train", subset=name, chosen=f"{name} ("),)
        if opened := self._dataset_without_subset(subsets, own):
            create = Action("Create a subset to train on", "data", dataset=opened.id)
            return f"{opened.source.describe()} is open.", (create,)
        if newest := example.newest_result(run for run, _ in own):
            return self._after_training(newest, evaluated)
        again = Action("Train your own", "train")
        if runs and any(run.adapters() for run, _ in runs):
            return "The example run can answer already, beside its base model.", (Action("Chat with it", "chat"), again)
        return "Nothing is trained yet.", (Action("Train the quick demo", "train"),)

    def _dataset_without_subset(self, subsets: list[Subset], own: list[tuple[Run, str]]) -> Dataset | None:
        """Return the dataset that was opened last, if it has no subset and nothing was trained since."""
        # Answers of an evaluation are opened to read them, and the bundled data have a subset from the start.
        opened = [found for found in table.opened_datasets(self.settings) if found.source.kind in _OPENED_KINDS]
        opened = [found for found in opened if not found.source.name.startswith(result.NAME_PREFIX)]
        if not opened or opened[-1].id in {found.recipe.dataset for found in subsets}:
            return None
        since = modified_ns(table.folder(self.settings, opened[-1].id) / "about.json") / 1e9
        return opened[-1] if all(run.saved_state().created < since for run, _ in own) else None

    def _after_training(self, run: Run, evaluated: list[Evaluation]) -> tuple[str, tuple[Action, ...]]:
        chat = Action("Chat with it", "chat", run=run.id, chosen=run.title)
        export = Action("Export it", "export", run=run.id, chosen=run.title)
        if any(_uses(evaluation, run.id) for evaluation in evaluated):
            return f"{run.title} is trained and evaluated.", (export, chat)
        is_finished = run.state().status == "finished"
        text = "is finished" if is_finished else f"ended at step {process.last_step(run):,}, and its adapter can answer"
        return f"{run.title} {text}.", (chat, Action("Evaluate it", "evaluate", run=run.id, chosen=run.title), export)

    def _missing(self, subset_name: str, dataset: str, run_id: str) -> str:
        """Return what a button names and is not there any more, such as "run x"; empty if all is there.

        Raises:
            StudioError: A name that no button sends.
        """
        finds = {
            "subset": (subset_name, lambda name: subset.find(self.settings, name)),
            "dataset": (dataset, lambda name: table.find(self.settings, name)),
            "run": (run_id, self.runs.run),
        }
        for kind, (name, find) in finds.items():
            try:
                if name:
                    find(name)
            except StudioError:
                if not is_plain_name(name):
                    raise
                return f"{kind} {name[:80]}"
        return ""

    def go(self, tab: str, subset_name: str, run_id: str, dataset: str = "", **chat: Any) -> dict[str, Any]:
        """Return the updates that open a tab and choose what is named there; empty names choose nothing.

        If that was deleted meanwhile, say so and return a bar that shows what there is now.

        Args:
            tab: One of TABS.
            subset_name: The subset to train on.
            run_id: The run to watch, to ask, to evaluate or to export.
            dataset: The dataset to create a subset of.
            **chat: The conversation that the page shows, by the names that `compare_with_base` takes; its `chat_id` is
                empty before it shows any.

        Raises:
            StudioError: There is no such tab, or what is named there cannot exist.
        """
        if tab not in TABS:
            raise StudioError(f"There is no tab {tab!r}. There are: {', '.join(TABS)}.")
        if missing := self._missing(subset_name, dataset, run_id):
            text = f"The {missing} is not there any more: it was deleted. The bar now shows what there is."
            warn(text, title="Deleted meanwhile")
            return {"bar": self.render()["bar"]}
        updates: dict[str, Any] = {"tabs": gr.update(selected=tab)}
        if subset_name:
            updates["subset"] = gr.update(value=subset.find(self.settings, subset_name).name)
        if dataset:
            found = table.find(self.settings, dataset).id
            updates["dataset"] = gr.update(choices=dataset_choices(self.settings), value=found)
            updates["tools"] = gr.update(selected=CREATE_TOOL)
        if run_id:
            # The tabs that list runs refresh their lists when they are opened, and keep what is chosen.
            listed = {"train": "run", "evaluate": "evaluate_run", "export": "export_run"}
            found = self.runs.run(run_id).id
            if tab in listed:
                updates[listed[tab]] = gr.update(value=found)
            if tab == "train":
                updates["views"] = gr.update(selected="run")
            if tab == "chat" and chat.get("chat_id"):
                updates |= self.compare_with_base(found, **chat)
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
    """Return whether an evaluation has a lane of a run; one that cannot be read has none."""
    try:
        return any(parse_lane(lane)[0] == run_id for lane in evaluation.config().lanes)
    except StudioError:
        # The Evaluate tab reports the damaged folder.
        return False
