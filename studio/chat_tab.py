"""The Chat tab, assembled: one prompt, the base and what was trained on it side by side, from one set of weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.browser_storage import build_remembered
from components.data_table import value_of
from core.chat.conversation import MAX_LANES
from core.chat.engine import Engine
from core.errors import StudioError
from studio.chat.api import build_chat_call
from studio.chat.beside import Beside
from studio.chat.layout import BesideWidgets, LaneWidgets, TalkWidgets, build_beside, build_lanes, build_talk
from studio.chat.model_picker import ALL, NOTHING_TRAINED, Choosing
from studio.chat.voting import Voting
from studio.handlers import event_handler

_TO_PROMPT = """() => {
  const prompt = document.querySelector('#prompt textarea');
  prompt.focus({preventScroll: true});
  prompt.scrollIntoView({block: 'center', behavior: 'smooth'});
}"""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


@dataclass(frozen=True)
class ChatTab:
    """What studio/app.py may link to."""

    row_wanted: gr.State  # a training row to be opened: data set, reading, row


@dataclass(frozen=True)
class States:
    """What the page remembers.

    Attributes:
        mine: the ids of this browser's conversations, the present one first; chat: the present one.
        editing: the question that Send replaces, or -1; scope: whose settings the form shows.
        offered: the questions on offer with their references; why: where the rows shown come from.
        row_wanted: the row of them that was clicked.
    """

    mine: gr.Textbox
    chat: gr.State
    editing: gr.State
    scope: gr.State
    offered: gr.State
    reference: gr.State
    why: gr.State
    row_wanted: gr.State


def build_chat_tab(engine: Engine, demo: gr.Blocks, runs_changed: list[Callable[..., Any]]) -> ChatTab:
    """Build the tab.

    Args:
        runs_changed: events after which runs may have new adapters.
    """
    choosing = Choosing(engine)
    talking = choosing.talking
    mine = build_remembered("qlora-studio-chats", "my-chats")
    states = States(
        mine.text, gr.State(""), editing=gr.State(-1), scope=gr.State(ALL), offered=gr.State([]),
        reference=gr.State(("", "")), why=gr.State(None), row_wanted=gr.State(None),
    )  # fmt: skip
    lanes, talk, beside = build_lanes(), build_talk(), build_beside()
    view = talk.view(states.editing)
    demo.load(
        event_handler(choosing.opened, visitor=True), states.mine, [states.mine, states.chat], js=mine.read, **QUIET
    )
    _wire_opening(choosing, states, lanes, talk, beside, view, runs_changed)
    _wire_lanes(choosing, states, lanes, talk, beside, view)
    _wire_talk(choosing, states, lanes, talk, beside, view)
    _wire_board(choosing, states, talk, beside, view)
    _wire_votes(Voting(talking), states, lanes, talk, beside, view)
    _wire_beside(Beside(talking), states, talk, beside)
    demo.unload(event_handler(talking.leave, visitor=True))
    gr.api(event_handler(build_chat_call(engine), visitor=True), api_name="chat", concurrency_limit=None)
    return ChatTab(states.row_wanted)


def _wire_opening(
    do: Choosing, states: States, lanes: LaneWidgets, talk: TalkWidgets, beside: BesideWidgets, view: list,
    runs_changed: list[Callable[..., Any]],
) -> None:  # fmt: skip
    """A page opens its conversation; whatever shows one listens to which it is."""
    voting, about = Voting(do.talking), Beside(do.talking)

    def shown(chat_id: str, mine: str, show: list[str]) -> list[Any]:
        drawn = do.talking.drawn(chat_id, show, hint="", editing=-1)
        lists, hint = do.refresh(chat_id)
        drawn[3] = hint
        return [
            *drawn, *lists, *do.settings_of(chat_id, ALL), ALL, do.earlier(mine, chat_id), voting.tally(chat_id),
            voting.blindness(chat_id), *about.questions(chat_id),
        ]  # fmt: skip

    def refreshed(chat_id: str, show: list[str], said: str, request: gr.Request) -> Iterator[list[Any]]:
        if not chat_id:  # the page has not opened it yet
            yield [gr.skip()] * (len(drawn_lanes) + len(view))
            return
        lists, hint = do.refresh(chat_id)
        over = "" if said in NOTHING_TRAINED else None  # what else is said there stays
        for values in do.talking.follow(chat_id, show, request, hint or over):
            yield [*lists, *values]

    drawn_lanes = lanes.drawn(beside.scope)
    talk.new.click(event_handler(do.new, visitor=True), [states.chat, states.mine], [states.mine, states.chat], **QUIET)
    talk.earlier.input(
        event_handler(do.choose_earlier, visitor=True), [talk.earlier, states.mine], [states.mine, states.chat], **QUIET
    )
    states.chat.change(
        event_handler(shown, visitor=True), [states.chat, states.mine, talk.show],
        [*view, *drawn_lanes, *beside.fields.values(), states.scope, talk.earlier, beside.tally, lanes.blind,
         *talk.offered(states.offered)], **QUIET,
    )  # fmt: skip
    seen, redrawn = [states.chat, talk.show, talk.hint], [*drawn_lanes, *view]
    gr.on(runs_changed, event_handler(refreshed, visitor=True), seen, redrawn, **QUIET)
    talk.now.returned(event_handler(refreshed, visitor=True), seen, redrawn, **QUIET)


def _wire_lanes(
    do: Choosing, states: States, lanes: LaneWidgets, talk: TalkWidgets, beside: BesideWidgets, view: list
) -> None:
    drawn, chat = lanes.drawn(beside.scope), states.chat

    def follow(chosen: gr.events.Dependency) -> None:
        """The board has as many lanes as were chosen; what was refused is shown as it is."""
        chosen.success(event_handler(do.talking.drawn, visitor=True), [chat, talk.show], view, **QUIET)
        chosen.failure(event_handler(do.shown_again, visitor=True), chat, drawn, **QUIET)

    follow(lanes.base.input(event_handler(do.choose_base, visitor=True), [chat, lanes.base], drawn, **QUIET))
    follow(lanes.count.input(event_handler(do.choose_count, visitor=True), [chat, lanes.count], drawn, **QUIET))
    for at in range(MAX_LANES):

        def run_chosen(chat_id: str, run_id: str, lane: int = at) -> list[Any]:
            return do.choose_run(chat_id, lane, run_id)

        def step_chosen(
            chat_id: str, place: int, show: list[str], scope: str, request: gr.Request, lane: int = at, **values: Any
        ) -> Iterator[list[Any]]:
            do.keep_settings(chat_id, scope, values)
            lists = do.choose_step(chat_id, lane, place)
            yield [*lists, *([gr.skip()] * len(view))]
            for values in do.talking.move(chat_id, lane, show, request):
                yield [*([gr.skip()] * len(drawn)), *values]

        follow(lanes.runs[at].input(event_handler(run_chosen, visitor=True), [chat, lanes.runs[at]], drawn, **QUIET))
        moved = {"chat_id": chat, "place": lanes.steps[at], "show": talk.show, "scope": states.scope, **beside.fields}
        lanes.steps[at].release(
            event_handler(step_chosen, visitor=True), inputs_kwargs=moved, outputs=[*drawn, *view], **QUIET
        )


def _wire_asking(
    do: Choosing, states: States, lanes: LaneWidgets, talk: TalkWidgets, beside: BesideWidgets, view: list
) -> list[gr.events.Dependency]:
    """Whatever asks a question."""
    talking, chat = do.talking, states.chat

    def send(
        chat_id: str, prompt: str, reference: tuple[str, str], editing: int, show: list[str], scope: str,
        blind: bool, request: gr.Request, **values: Any,
    ) -> Iterator[list[Any]]:  # fmt: skip
        do.keep_settings(chat_id, scope, values)
        with talking.changing(chat_id) as kept:
            kept.blind = bool(blind)  # ticked a moment ago, it may not have been told yet
        question, answer = reference
        yield from talking.send(chat_id, prompt, answer if question == prompt else "", editing, show, request)

    def suggested(
        offered: list[list[str]], event: gr.EventData, request: gr.Request, **given: Any
    ) -> Iterator[list[Any]]:
        place = int(event.value)
        if not 0 <= place < len(offered):
            raise StudioError("This question is not on offer any more. Click Other questions.")
        yield from send(prompt=offered[place][0], reference=tuple(offered[place]), editing=-1, request=request, **given)

    form = {"chat_id": chat, "show": talk.show, "scope": states.scope, "blind": lanes.blind, **beside.fields}
    asked = {"prompt": talk.prompt, "reference": states.reference, "editing": states.editing, **form}
    drawn = {"outputs": view, **QUIET}
    return [
        talk.send.click(event_handler(send, visitor=True), inputs_kwargs=asked, **drawn),
        # Enter while an answer is written is refused in words; the button says it by itself
        talk.prompt.submit(event_handler(send, visitor=True), inputs_kwargs=asked, trigger_mode="multiple", **drawn),
        talk.invite.suggest(
            event_handler(suggested, visitor=True), inputs_kwargs={"offered": states.offered, **form}, **drawn
        ),
    ]


def _wire_talk(
    do: Choosing, states: States, lanes: LaneWidgets, talk: TalkWidgets, beside: BesideWidgets, view: list
) -> None:
    talking, chat = do.talking, states.chat

    def retry(chat_id: str, show: list[str], scope: str, request: gr.Request, **values: Any) -> Iterator[list[Any]]:
        do.keep_settings(chat_id, scope, values)
        yield from talking.retry(chat_id, None, show, request)

    form = {"chat_id": chat, "show": talk.show, "scope": states.scope, **beside.fields}
    talk.retry.click(event_handler(retry, visitor=True), inputs_kwargs=form, outputs=view, **QUIET)
    talk.stop.click(event_handler(talking.stop, visitor=True), chat, None, **QUIET)
    talk.show.change(event_handler(talking.drawn, visitor=True), [chat, talk.show], view, **QUIET)
    begun = [
        *_wire_asking(do, states, lanes, talk, beside, view),
        talk.undo.click(event_handler(talking.undo, visitor=True), [chat, talk.show], view, **QUIET),
        talk.branch.input(event_handler(talking.switch, visitor=True), [chat, talk.branch, talk.show], view, **QUIET),
    ]
    for event in begun:  # a chat is called as it begins
        event.then(event_handler(do.earlier, visitor=True), [states.mine, chat], talk.earlier, **QUIET)
    talk.past.change(event_handler(do.branches, visitor=True), chat, talk.branch, **QUIET)
    talk.now.change(event_handler(do.branches, visitor=True), chat, talk.branch, trigger_mode="once", **QUIET)
    beside.scope.input(
        event_handler(
            lambda chat_id, before, scope, **values: do.other_scope(chat_id, before, scope, values), visitor=True
        ),
        inputs_kwargs={"chat_id": chat, "before": states.scope, "scope": beside.scope, **beside.fields},
        outputs=[states.scope, *beside.fields.values()], **QUIET,
    )  # fmt: skip


def _wire_board(do: Choosing, states: States, talk: TalkWidgets, beside: BesideWidgets, view: list) -> None:
    talking, chat, show = do.talking, states.chat, talk.show

    def place(event: gr.EventData) -> tuple[int, int]:
        at, _, lane = str(event.value).partition(" ")
        return int(at), int(lane or 0)

    def stop(chat_id: str, event: gr.EventData) -> None:
        talking.stop(chat_id, place(event)[1])

    def retry_one(
        chat_id: str, show: list[str], scope: str, event: gr.EventData, request: gr.Request, **values: Any
    ) -> Iterator[list[Any]]:
        do.keep_settings(chat_id, scope, values)
        yield from talking.retry(chat_id, place(event)[1], show, request)

    def go_on(
        chat_id: str, show: list[str], scope: str, event: gr.EventData, request: gr.Request, **values: Any
    ) -> Iterator[list[Any]]:
        do.keep_settings(chat_id, scope, values)
        yield from talking.go_on(chat_id, place(event)[1], show, request)

    def other_try(chat_id: str, shown: list[str], event: gr.EventData) -> list[Any]:
        return talking.other_try(chat_id, place(event)[1], shown)

    def edit(chat_id: str, event: gr.EventData) -> list[Any]:
        return talking.edit(chat_id, place(event)[0])

    asked = {"chat_id": chat, "show": show, "scope": states.scope, **beside.fields}
    for board in (talk.past, talk.now):
        board.edit(event_handler(edit, visitor=True), chat, view, **QUIET).success(None, js=_TO_PROMPT)
    talk.now.stop_lane(event_handler(stop, visitor=True), chat, None, **QUIET)
    talk.now.retry_lane(event_handler(retry_one, visitor=True), inputs_kwargs=asked, outputs=view, **QUIET)
    talk.now.go_on(event_handler(go_on, visitor=True), inputs_kwargs=asked, outputs=view, **QUIET)
    talk.now.other_try(event_handler(other_try, visitor=True), [chat, show], view, **QUIET)


def _wire_votes(
    do: Voting, states: States, lanes: LaneWidgets, talk: TalkWidgets, beside: BesideWidgets, view: list
) -> None:
    chat, show = states.chat, talk.show

    def vote(chat_id: str, shown: list[str], event: gr.EventData) -> list[Any]:
        return do.vote(chat_id, str(event.value), shown)

    def unvote(chat_id: str, shown: list[str], event: gr.EventData) -> list[Any]:
        return do.unvote(chat_id, int(event.value), shown)

    talk.now.vote(event_handler(vote, visitor=True), [chat, show], [*view, beside.tally], **QUIET)
    for board in (talk.past, talk.now):
        board.unvote(event_handler(unvote, visitor=True), [chat, show], [*view, beside.tally], **QUIET)
    lanes.blind.input(event_handler(do.be_blind, visitor=True), [chat, lanes.blind], None, **QUIET)
    beside.preferences.makes(event_handler(do.as_preferences), chat, **QUIET)


def _wire_beside(do: Beside, states: States, talk: TalkWidgets, beside: BesideWidgets) -> None:
    chat = states.chat

    def why(chat_id: str, event: gr.EventData) -> tuple[str, Any, Any]:
        at, _, lane = str(event.value).partition(" ")
        return *do.why(chat_id, int(at), int(lane)), gr.update(open=True)

    def row_opened(where: dict | None, event: gr.EventData) -> dict[str, Any]:
        return do.wanted(where, value_of(event))

    def picked(offered: list[list[str]], event: gr.SelectData) -> tuple[str, tuple[str, str]]:
        question, answer = offered[event.index]
        return question, (question, answer)

    for board in (talk.past, talk.now):
        board.why(event_handler(why, visitor=True), chat, [beside.why, states.why, beside.why_part], **QUIET)
    beside.why.open_row(event_handler(row_opened, visitor=True), states.why, states.row_wanted, **QUIET)
    talk.questions.select(event_handler(picked, visitor=True), states.offered, [talk.prompt, states.reference], **QUIET)
    talk.more.click(event_handler(do.questions, visitor=True), chat, talk.offered(states.offered), **QUIET)
    beside.read.click(event_handler(do.read_by, visitor=True), chat, beside.read_shown, **QUIET)
    beside.unload.click(event_handler(do.unload), None, None, **QUIET)
    beside.jsonl.makes(event_handler(do.as_jsonl, visitor=True), chat, **QUIET)
    beside.markdown.makes(event_handler(do.as_markdown, visitor=True), chat, **QUIET)
