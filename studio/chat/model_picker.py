"""Who answers: the base model, the lanes over it with their checkpoints, and the settings of all or of one."""

import json
import math
from typing import Any

import gradio as gr
from pydantic import ValidationError

from core.access import roles
from core.chat import conversation
from core.chat.conversation import BASE, MOST_LANES, Conversation, LaneChoice, key_of
from core.chat.engine import Base, Engine
from core.chat.requests import base_of, bases
from core.chat.sampling import Sampling
from core.errors import StudioError, sentences
from core.runs.store import Run
from studio.chat.chat_actions import Talking

NO_RUN = "Train first: run the “Quick demo” in the Train tab, then come back and ask both models the same thing."
NO_PUBLISHED = "No run that answers is published yet. Until one is, the base answers alone."
NOTHING_TRAINED = (NO_RUN, NO_PUBLISHED)
ALL = "All lanes"
_REMEMBERED = 50  # conversations of a browser


class Choosing:
    """What this part does; names no widget's layout."""

    def __init__(self, engine: Engine):
        self.engine, self.settings = engine, engine.settings
        self.talking = Talking(engine, self.base_named)

    def base_named(self, name: str) -> Base:
        known = bases(self.engine.store)
        found = sorted((base for base in known if base.is_called(name)), key=lambda base: base.words != name)
        if not name or not found:
            names = ", ".join(base.words for base in known)
            raise StudioError(f"There is no base model {name!r} here. There are: {names}.")
        return found[0]

    def default_base(self) -> str:
        """The base of the newest run that can answer, or the embedded model."""
        return next((base.words for base in bases(self.engine.store)), "")

    def runs_of(self, base: str) -> list[Run]:
        """Runs with an adapter on a base, the newest first."""
        found = []
        for run in self.engine.store.runs():
            if not run.problem() and run.adapters():
                try:
                    if base_of(self.engine.store, run).is_called(base):
                        found.append(run)
                except StudioError:
                    continue  # its model is gone: it cannot answer
        return found

    # Which conversation

    def opened(self, mine: str) -> tuple[str, str]:
        """A browser's conversations, the present one first, made where there is none; and the present one's id."""
        ids = _ids(mine)
        for chat_id in ids:
            if self._load(chat_id):
                return _text([chat_id, *ids]), chat_id
        fresh = conversation.fresh()
        self._lanes_anew(fresh)
        conversation.save(self.settings, fresh)
        conversation.forget_oldest(self.settings, self.engine.allowance.quotas.visitor_chats)
        return _text([fresh.id, *ids]), fresh.id

    def choose_earlier(self, chat_id: str, mine: str) -> tuple[str, str]:
        if not isinstance(chat_id, str):
            raise StudioError(f"There is no chat {str(chat_id)[:40]!r}. Choose one in the list.")
        return self.opened(_text([chat_id, *_ids(mine)]))

    def new(self, chat_id: str, mine: str) -> tuple[str, str]:
        """Another conversation with the same lanes and settings; the present one is kept."""
        self.talking.stop(chat_id)
        kept = self.talking.find(chat_id)
        if not kept.turns:
            return mine, chat_id
        fresh = conversation.fresh()
        fresh.base, fresh.lanes, fresh.settings, fresh.blind = kept.base, kept.lanes, kept.settings, kept.blind
        there = {run.id for run in self.runs_of(kept.base)}
        if any(lane.run and lane.run not in there for lane in fresh.lanes):
            self._lanes_anew(fresh)  # a run is gone
        conversation.save(self.settings, fresh)
        return _text([fresh.id, *_ids(mine)]), fresh.id

    def earlier(self, mine: str, chat_id: str) -> Any:
        """The list of this browser's conversations."""
        found = [kept for one in _ids(mine) if (kept := self._load(one))]
        choices = [(kept.title(), kept.id) for kept in found if kept.turns or kept.id == chat_id]
        return gr.update(choices=choices, value=chat_id, visible=len(choices) > 1)

    def branches(self, chat_id: str) -> Any:
        """The list of a conversation's branches, by what was asked last in each."""
        found = self.talking.find(chat_id).branches if chat_id else []
        choices = [
            (f"{at}: {turns[-1].prompt[:50]} ({len(turns)} question{'s' * (len(turns) != 1)})", key_of(turns))
            for at, turns in enumerate(found, 1)
        ]
        return gr.update(choices=choices, value=None, visible=bool(found))

    def _load(self, chat_id: str) -> Conversation | None:
        try:
            return conversation.load(self.settings, chat_id)
        except StudioError:
            return None  # no id of ours

    # Lanes

    def refresh(self, chat_id: str) -> tuple[list[Any], str]:
        """The lists as they are now, and what is to be said. Nothing asked yet: the newest run has a lane."""
        kept = self.talking.find(chat_id)
        if not kept.turns and (not kept.base or not any(lane.run for lane in kept.lanes)):
            with self.talking.changing(chat_id) as kept:
                self._lanes_anew(kept)
        kept = self._brought_up(chat_id, kept)
        trained = any(run.adapters() for run in self.engine.store.runs())
        return self.shown(kept), self.engine.notice or ("" if trained else roles.text_for_caller(NO_RUN, NO_PUBLISHED))

    def _brought_up(self, chat_id: str, kept: Conversation) -> Conversation:
        """Lanes that go with a run's newest adapter have it: a run that trains writes others, the final one last."""
        runs = {run.id: next(iter(run.adapters())) for run in self.runs_of(kept.base)}

        def old(lane: LaneChoice) -> bool:
            return lane.newest and runs.get(lane.run, lane.adapter) != lane.adapter

        if any(map(old, kept.lanes)):
            with self.talking.changing(chat_id) as kept:
                for lane in filter(old, kept.lanes):
                    lane.adapter = runs[lane.run]
        return kept

    def shown(self, kept: Conversation) -> list[Any]:
        runs = self.runs_of(kept.base)
        names = [base.words for base in bases(self.engine.store)]
        lanes = [update for at in range(MOST_LANES) for update in self._lane(kept, at, runs)]
        scopes = [ALL, *(f"Lane {at + 1}" for at in range(len(kept.lanes)))]
        return [
            gr.update(choices=names, value=kept.base or None), len(kept.lanes), *lanes,
            gr.update(choices=scopes),
        ]  # fmt: skip

    def shown_again(self, chat_id: str) -> list[Any]:
        """What is chosen, after something else was refused."""
        return self.shown(self.talking.find(chat_id))

    def _lane(self, kept: Conversation, at: int, runs: list[Run]) -> tuple[Any, Any]:
        if at >= len(kept.lanes):
            return gr.update(visible=False), gr.update(visible=False)
        lane = kept.lanes[at]
        choices = [("The base", ""), *((run.title, run.id) for run in runs)]
        if lane.run and lane.run not in (run.id for run in runs):
            choices.append((f"{lane.run} (gone)", lane.run))
        steps = self._steps(lane.run, runs)
        place = steps.index(lane.adapter) if lane.adapter in steps else len(steps) - 1
        return (
            gr.update(choices=choices, value=lane.run, visible=True),
            gr.update(minimum=0, maximum=max(1, len(steps) - 1), value=max(0, place), visible=len(steps) > 1,
                      label=f"Checkpoint: {steps[place]}" if steps else "Checkpoint"),
        )  # fmt: skip

    @staticmethod
    def _steps(run_id: str, runs: list[Run]) -> list[str]:
        """What the checkpoint slider of a lane goes through, from the base to the last; empty for the base."""
        run = next((run for run in runs if run.id == run_id), None)
        return [BASE, *reversed(run.adapters())] if run else []

    def _lanes_anew(self, kept: Conversation, base: str = "") -> None:
        kept.base = base or self.default_base()
        runs = self.runs_of(kept.base)
        kept.lanes = [LaneChoice(), *map(_newest, runs[:1])]

    def choose_base(self, chat_id: str, base: str) -> list[Any]:
        """Another base: the lanes begin anew over it; what was said is kept."""
        self.base_named(base)
        with self.talking.changing(chat_id) as kept:
            if base != kept.base:
                self._lanes_anew(kept, base)
        return self.shown(kept)

    def choose_count(self, chat_id: str, count: int) -> list[Any]:
        with self.talking.changing(chat_id) as kept:
            runs = self.runs_of(kept.base)
            more = [_newest(run) for run in runs]
            used = {lane.run for lane in kept.lanes}
            spare = [lane for lane in more if lane.run not in used]
            spare += [more[0].model_copy() if more else LaneChoice() for _ in range(MOST_LANES)]
            kept.lanes = [*kept.lanes, *spare][: max(1, min(MOST_LANES, _whole(count, "The number of lanes")))]
        return self.shown(kept)

    def choose_run(self, chat_id: str, lane: int, run_id: str) -> list[Any]:
        with self.talking.changing(chat_id) as kept:
            _there(kept, lane)
            known = {run.id: run for run in self.runs_of(kept.base)}
            if run_id and run_id not in known:
                self.engine.store.run(run_id)  # says so where there is none
                raise StudioError(
                    f"The run {run_id} has no adapter on {kept.base}: lanes share one copy of its weights. "
                    "Choose its base model first."
                )
            chosen = _newest(known[run_id]) if run_id else LaneChoice()
            kept.lanes[lane] = chosen.model_copy(update={"own": kept.lanes[lane].own})
        return self.shown(kept)

    def choose_step(self, chat_id: str, lane: int, place: int) -> list[Any]:
        with self.talking.changing(chat_id) as kept:
            _there(kept, lane)
            steps = self._steps(kept.lanes[lane].run, self.runs_of(kept.base))
            if steps:
                at = max(0, min(len(steps) - 1, _whole(place, "The checkpoint")))
                kept.lanes[lane].adapter, kept.lanes[lane].newest = steps[at], at == len(steps) - 1
        return self.shown(kept)

    # Settings

    def keep_settings(self, chat_id: str, scope: str, values: dict[str, Any]) -> None:
        """Settings of all lanes, or of one, which then has those that differ for itself."""
        given = sampling(values).model_dump()
        with self.talking.changing(chat_id) as kept:
            if (at := _lane_of(scope, kept)) is None:
                kept.settings = given
            else:
                shared = Sampling(**kept.settings).model_dump()
                kept.lanes[at].own = {name: value for name, value in given.items() if value != shared[name]}

    def settings_of(self, chat_id: str, scope: str) -> list[Any]:
        """The values of the form for a scope, in the order of `Sampling`."""
        kept = self.talking.find(chat_id)
        at = _lane_of(scope, kept)
        found = Sampling(**kept.settings) if at is None else kept.sampling(at)
        return list(found.model_dump().values())

    def other_scope(self, chat_id: str, before: str, scope: str, values: dict[str, Any]) -> list[Any]:
        """Keep what the form says for one scope, and show another."""
        self.keep_settings(chat_id, before, values)
        return [scope, *self.settings_of(chat_id, scope)]


def _newest(run: Run) -> LaneChoice:
    return LaneChoice(run=run.id, adapter=next(iter(run.adapters())), newest=True)


def _there(kept: Conversation, lane: int) -> None:
    if not 0 <= lane < len(kept.lanes):
        raise StudioError(f"There is no lane {lane + 1}; this conversation has {len(kept.lanes)}.")


def _ids(mine: str) -> list[str]:
    """What a browser says its conversations are; anything may stand there."""
    try:
        found = json.loads(mine or "[]")
    except (ValueError, TypeError, RecursionError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _text(ids: list[str]) -> str:
    return json.dumps(list(dict.fromkeys(ids))[:_REMEMBERED])


def _whole(value: Any, title: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StudioError(f"{title} is {str(value)[:40]!r}; expected a whole number.")
    return int(value)


def _lane_of(scope: str, kept: Conversation) -> int | None:
    number = scope.removeprefix("Lane ") if scope.startswith("Lane ") else ""
    return int(number) - 1 if number.isdigit() and 0 < int(number) <= len(kept.lanes) else None


def sampling(values: dict[str, Any]) -> Sampling:
    """The settings as the form gives them; a problem is told with its title, for the form may be folded away."""
    titles = {name: f"{f.title} (under Settings)" for name, f in Sampling.model_fields.items()}
    if empty := [titles[name] for name, value in values.items() if value is None]:
        raise StudioError(f"{empty[0]} is empty. Give it a value.")
    try:
        return Sampling(**values)
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: titles.get(name, name))) from error
