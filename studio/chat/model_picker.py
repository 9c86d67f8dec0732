"""Base models, and the lanes over one of them: which run answers in each lane, with which checkpoint."""

import math
from typing import Any

import gradio as gr

from core.access import roles
from core.chat.conversation import Conversation, LaneChoice
from core.chat.requests import available_bases, base_identity
from core.chat.turns import MAX_LANES
from core.chat.types import BaseIdentity
from core.errors import StudioError
from core.runs import example
from core.runs.exported import find_model, list_models
from core.runs.imported import all_tuned, find_tuned
from core.runs.store import Run
from core.system.markdown import plain
from core.system.sizes import format_size
from studio.chat.conversations import Conversations
from studio.chat.lane_choices import checkpoint_names, lanes_of, model_choices, model_value, newest_adapter
from studio.chat.view import Updates
from studio.handlers import info

NO_RUN = "Train first: run the “Quick demo” in the Train tab, then come back and ask both models the same thing."
NO_PUBLISHED = "No trained run is published yet. Until one is, only the base model answers."
NOTHING_TRAINED = (NO_RUN, NO_PUBLISHED)
ALL_LANES = "All models"


class ModelPicker:
    """Event handlers that choose a conversation's base model, lanes and checkpoints."""

    def __init__(self, conversations: Conversations):
        self.conversations, self.engine, self.store = conversations, conversations.engine, conversations.engine.store

    # Bases and runs

    def find_base(self, name: str) -> BaseIdentity:
        """Return the base model with a key, or with a label as earlier versions saved it in conversations.

        Raises:
            StudioError: There is none, or the caller may not use it.
        """
        known = available_bases(self.store)
        exact = [base for base in known if name in (base.key, base.label, base.legacy_label)]
        # The oldest labels are shortened, and may match several bases; the newest of these is taken.
        found = exact or [base for base in known if name and base.has_legacy_label(name)]
        if not found:
            raise _no_such_base(name, known)
        return found[0]

    def base_of(self, chat: Conversation) -> BaseIdentity:
        """Return the base model of a conversation.

        Raises:
            StudioError: The model was deleted, or the caller may no longer use it.
        """
        identity = chat.base_identity
        if identity is None:
            return self.find_base(chat.base)
        known = available_bases(self.store)
        if identity not in known:
            raise _no_such_base(identity.label, known)
        return identity

    def _base_or_none(self, chat: Conversation) -> BaseIdentity | None:
        try:
            return self.base_of(chat)
        except StudioError:
            return None

    def default_base(self) -> BaseIdentity | None:
        """Return the base of the newest result, else of the newest run with an adapter, else the embedded one."""
        known = available_bases(self.store)
        newest = example.newest_result(run for run in self.store.runs() if not run.problem())
        # Its model may be deleted, so its base is taken from the list of those that can answer.
        own = BaseIdentity.from_config(newest.config()) if newest else None
        return own if own in known else next(iter(known), None)

    def runs_on(self, base: BaseIdentity | None) -> list[Run]:
        """Return the runs with an adapter on a base, newest first."""
        found = []
        for run in all_tuned(self.store):
            if not run.problem() and run.adapters():
                try:
                    if base_identity(self.store, run) == base:
                        found.append(run)
                except StudioError:
                    # The run's base model was deleted, so the run cannot answer.
                    continue
        return found

    def runs_of(self, chat: Conversation) -> list[Run]:
        """Return the runs that can answer in a conversation; none if its base model was deleted."""
        base = self._base_or_none(chat)
        return self.runs_on(base) if base else []

    def first_run(self, chat_id: str) -> Run | None:
        """Return the run of the first lane that has one which still exists."""
        for lane in self.conversations.find(chat_id).lanes:
            if lane.run:
                try:
                    return self.store.run(lane.run)
                except StudioError:
                    # The lane's own dropdown already marks it as not available.
                    continue
        return None

    def unload(self) -> None:
        """Free the memory of the loaded model, once the answers in progress have ended."""
        if self.engine.loaded is None:
            raise StudioError("No model is loaded, so there is nothing to unload.")
        name = self.engine.loaded.model
        freed = self.engine.unload()
        info(f"{format_size(freed)} were freed. The next question loads the model again.", f"{name} is unloaded")

    # Lanes

    def refresh(self, chat_id: str) -> Updates:
        """Bring the lanes up to date with the runs that there are now.

        A conversation without a turn gets the newest run unless its lanes were chosen. Lanes that follow a run's newest
        adapter move on to it: a run in training writes further checkpoints, and the final adapter last.

        Returns:
            Updates of the lanes' widgets, and `hint`: a notice, or the way to a first run.
        """
        chat = self.conversations.find(chat_id)
        if not chat.turns and not chat.are_lanes_chosen:
            newest = chat.model_copy()
            self.reset_lanes(newest)
            if (newest.base_identity, newest.lanes) != (chat.base_identity, chat.lanes):
                with self.conversations.change(chat_id) as chat:
                    chat.set_base(newest.base_identity)
                    chat.lanes = newest.lanes
        chat = self._with_newest_adapters(chat_id, chat)
        has_trained = any(run.adapters() for run in all_tuned(self.store))
        hint = plain(self.engine.notice) or ("" if has_trained else roles.text_for_caller(NO_RUN, NO_PUBLISHED))
        return self.lane_updates(chat) | {"hint": hint}

    def _with_newest_adapters(self, chat_id: str, chat: Conversation) -> Conversation:
        newest = {run.id: next(iter(run.adapters())) for run in self.runs_of(chat)}

        def is_outdated(lane: LaneChoice) -> bool:
            return lane.newest and newest.get(lane.run, lane.adapter) != lane.adapter

        if any(map(is_outdated, chat.lanes)):
            with self.conversations.change(chat_id) as chat:
                for lane in filter(is_outdated, chat.lanes):
                    lane.adapter = newest[lane.run]
        return chat

    def reset_lanes(self, chat: Conversation, base: BaseIdentity | None = None) -> None:
        """Give a conversation two lanes: a base (by default the newest run's) and the newest run on it.

        A classifier gets the only lane: its base chooses no labels, and may not be able to write a text.
        """
        base = base or self.default_base()
        chat.set_base(base)
        newest = example.newest_result(self.runs_on(base))
        chat.lanes = lanes_of(newest) if newest else [LaneChoice()]

    def show_lanes(self, chat_id: str) -> Updates:
        """Return the lanes as they are saved, for instance after a choice was refused."""
        return self.lane_updates(self.conversations.find(chat_id))

    def lane_updates(self, chat: Conversation) -> Updates:
        """Return the updates of all widgets in `layout.ChatWidgets.lane_outputs`."""
        titles = self.store.titles()
        runs = self.runs_of(chat)
        titled = [(titles.get(run.id, run.title), run) for run in runs]
        models = model_choices(titled, list_models(self.store.settings, runs))
        base = self._base_or_none(chat)
        choices = [(known.label, known.key) for known in available_bases(self.store)]
        scopes = [ALL_LANES, *(f"Model {lane + 1}" for lane in range(len(chat.lanes)))]
        updates: Updates = {
            "base": gr.update(choices=choices, value=base.key if base else None),
            "lane_count": len(chat.lanes),
            "scope": gr.update(choices=scopes),
        }
        for lane in range(MAX_LANES):
            updates |= self._one_lane(chat, lane, runs, models)
        return updates

    def _one_lane(self, chat: Conversation, lane: int, runs: list[Run], models: list[tuple[str, str]]) -> Updates:
        run_widget, checkpoint_widget = f"run_{lane + 1}", f"checkpoint_{lane + 1}"
        if lane >= len(chat.lanes):
            return {run_widget: gr.update(visible=False), checkpoint_widget: gr.update(visible=False)}
        chosen, choices, value = chat.lanes[lane], list(models), model_value(chat.lanes[lane])
        if value not in (known for _, known in models):
            # Deleted, no longer published, without an adapter, or on another base.
            choices.append((f"{value} (not available)", value))
        names = checkpoint_names(chosen, runs)
        index = names.index(chosen.adapter) if chosen.adapter in names else len(names) - 1
        slider = gr.update(
            # A slider of Gradio needs a range that is not empty, also while it is hidden.
            minimum=0, maximum=max(1, len(names) - 1), value=max(0, index), visible=len(names) > 1,
            label=f"Checkpoint: {names[index]}" if names else "Checkpoint",
        )  # fmt: skip
        return {run_widget: gr.update(choices=choices, value=value, visible=True), checkpoint_widget: slider}

    def choose_base(self, chat_id: str, base: str) -> Updates:
        """Choose another base model, which resets the lanes; the turns are kept."""
        chosen = self.find_base(base)
        with self.conversations.change(chat_id) as chat:
            if chosen != self._base_or_none(chat):
                self.reset_lanes(chat, chosen)
                chat.are_lanes_chosen = True
        return self.lane_updates(chat)

    def choose_lane_count(self, chat_id: str, count: int) -> Updates:
        """Add or remove lanes at the end; new ones take runs that have no lane yet."""
        with self.conversations.change(chat_id) as chat:
            available = [newest_adapter(run) for run in self.runs_of(chat)]
            used = {lane.run for lane in chat.lanes}
            more = [lane for lane in available if lane.run not in used]
            # When the runs are used up, further lanes repeat the newest one, or the base.
            more += [available[0].model_copy() if available else LaneChoice() for _ in range(MAX_LANES)]
            chat.lanes = [*chat.lanes, *more][: max(1, min(MAX_LANES, _whole_number(count, "The number of models")))]
            chat.are_lanes_chosen = True
        return self.lane_updates(chat)

    def choose_run(self, chat_id: str, lane: int, value: str) -> Updates:
        """Choose the model of a lane, a value of `model_choices`. The lane keeps its own settings."""
        run_id, _, file = str(value or "").partition("/")
        with self.conversations.change(chat_id) as chat:
            _check_lane(chat, lane)
            known = {run.id: run for run in self.runs_of(chat)}
            if run_id and run_id not in known:
                # Raises with the better message if there is no such run at all.
                find_tuned(self.store, run_id)
                raise StudioError(
                    f"The run {run_id} has no adapter on {chat.base}, and all lanes share one copy of the base model's "
                    "weights. Choose the run's base model first."
                )
            chosen = newest_adapter(known[run_id]) if run_id else LaneChoice()
            if file:
                chosen = LaneChoice(run=run_id, adapter=find_model(self.store.settings, known[run_id], file).name)
            chat.lanes[lane] = chosen.model_copy(update={"own": chat.lanes[lane].own})
            chat.are_lanes_chosen = True
        return self.lane_updates(chat)

    def check_can_answer(self, run_id: str) -> Run:
        """Return a run that has an adapter and a base model.

        Raises:
            StudioError: There is no such run, it has no adapter, or its base model was deleted.
        """
        run = self.store.run(run_id)
        if not run.adapters():
            raise StudioError(f"The run {run.title} has no adapter, so it cannot answer. Resume it, or choose another.")
        base_identity(self.store, run)
        return run

    def compare_with_base(self, chat_id: str, run_id: str) -> Updates:
        """Let a run answer beside its base model, unless it answers in the conversation already; the turns are kept.

        Raises:
            StudioError: There is no such run, it has no adapter, or its base model was deleted.
        """
        run = self.check_can_answer(run_id)
        if self.conversations.in_progress(chat_id):
            info(f"Choose {run.title} when the answers are complete.", title="The chat is being answered")
            return {}
        with self.conversations.change(chat_id) as chat:
            if run.id not in (lane.run for lane in chat.lanes):
                chat.set_base(base_identity(self.store, run))
                chat.lanes = lanes_of(run)
                chat.are_lanes_chosen = True
        return self.lane_updates(chat)

    def choose_checkpoint(self, chat_id: str, lane: int, index: float) -> Updates:
        """Choose the checkpoint of a lane by its position on the slider; an index out of range is clamped."""
        with self.conversations.change(chat_id) as chat:
            _check_lane(chat, lane)
            names = checkpoint_names(chat.lanes[lane], self.runs_of(chat))
            if names:
                index = max(0, min(len(names) - 1, _whole_number(index, "The checkpoint")))
                # At the right end the lane follows newer adapters, as a run in training writes them.
                chat.lanes[lane].adapter, chat.lanes[lane].newest = names[index], index == len(names) - 1
                chat.are_lanes_chosen = True
        return self.lane_updates(chat)


def _no_such_base(name: str, known: list[BaseIdentity]) -> StudioError:
    labels = ", ".join(base.label for base in known)
    return StudioError(f"There is no base model {name!r} here. Choose one of: {labels}.")


def _check_lane(chat: Conversation, lane: int) -> None:
    if not 0 <= lane < len(chat.lanes):
        raise StudioError(f"There is no lane {lane + 1}; this conversation has {len(chat.lanes)}.")


def _whole_number(value: Any, title: str) -> int:
    # A program that calls the endpoint may send anything here, NaN included; booleans are integers to Python.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StudioError(f"{title} is {str(value)[:40]!r}. Expected a whole number.")
    return int(value)
