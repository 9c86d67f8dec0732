"""The Chat tab: one prompt, the base and the tuned model side by side, from one copy of the weights."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.model_form import build_fields
from core.chat.answer import END_WORDS
from core.chat.asking import Asked, ticket
from core.chat.engine import Engine, Ticket
from core.chat.sampling import Sampling
from core.errors import StudioError, sentences
from studio.told import told

# A page update a token would cost more than the token: at most so many a second.
UPDATES_A_SECOND = 10
NO_RUN = "Train first: run the “Quick demo” in the Train tab, then come back and ask both models the same thing."
SUGGESTIONS = ["How do I make a good cup of tea?", "Why is the sky blue?", "Should I learn to play the piano?"]

Turn = dict[str, Any]  # prompt, answers (base, tuned)


class ChatActions:
    """What the tab does; names no widget's layout."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._asked: dict[str, _Asked] = {}

    def run_choices(self) -> list[tuple[str, str]]:
        return [
            (f"{run.id} · {run.config().model}", run.id)
            for run in self.engine.store.runs()
            if run.adapters() and not run.problem()
        ]

    def refresh(self, chosen: str | None, adapter: str | None, seen: list[str]) -> tuple[Any, Any, list[str], str]:
        """The lists of runs and adapters as they are now. What is chosen stays, until its run has a newer adapter."""
        choices = self.run_choices()
        known = [run for _, run in choices]
        run_id = chosen if chosen in known else (known[0] if known else None)
        if run_id is None:
            return gr.update(choices=[], value=None), gr.update(choices=[], value=None), [], NO_RUN
        names = list(self.engine.store.run(run_id).adapters())
        value = adapter if names == seen and adapter in names else names[0]
        return (
            gr.update(choices=choices, value=run_id),
            gr.update(choices=names, value=value),
            names,
            self.engine.notice,
        )

    def send(
        self,
        run_id: str | None,
        adapter: str | None,
        prompt: str,
        turns: list[Turn],
        request: gr.Request,
        **values: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """Stream both lanes: prompt box, turns, two chats, two lines under them, the hint, the Stop button."""
        if not run_id or not adapter:
            raise StudioError(NO_RUN)
        if not prompt or not prompt.strip():
            raise StudioError("The prompt is empty. Type a question first.")
        sampling = _sampling(values)
        here = self._asked[request.session_hash] = _Asked()
        before = (prompt, turns, *_chats(turns), "", "", "", IDLE)
        drawn = None
        try:
            yield "", turns, *_chats([*turns, {"prompt": prompt, "answers": ["…", "…"]}]), "", "", "", BUSY
            for drawn in self._answers(run_id, adapter, prompt, turns, sampling, here):
                yield "", drawn[0], *_chats(drawn[0]), *drawn[1], drawn[2], BUSY
        except Exception:
            if not here.cleared:
                yield before  # nothing that was there is lost, the question neither
            raise
        finally:
            self._asked.pop(request.session_hash, None)
        if here.cleared:
            return
        said = drawn and any(drawn[0][-1]["answers"])  # stopped before its turn: nothing was said
        yield ("", drawn[0], *_chats(drawn[0]), *drawn[1], "", IDLE) if said else before

    def _answers(
        self, run_id: str, adapter: str, prompt: str, turns: list[Turn], sampling: Sampling, here: "_Asked"
    ) -> Iterator[tuple[list[Turn], list[str], str]]:
        """The turns with the answers so far, what is said under them, what they wait for; the last is among them."""
        base, tuned = (_history(turns, lane, prompt) for lane in (0, 1))
        here.ticket = ticket(self.engine.store, [Asked(base, sampling), Asked(tuned, sampling, run_id, adapter)])
        if here.stopped:
            here.ticket.stop()
        shown_at = 0.0
        for asked in self.engine.ask(here.ticket):
            due = asked.done or time.monotonic() - shown_at >= 1 / UPDATES_A_SECOND
            if due and not here.cleared:
                texts = [answer.text for answer in asked.answers]
                under = [_under(answer) for answer in asked.answers]
                yield [*turns, {"prompt": prompt, "answers": texts}], under, self._hint(asked)
                shown_at = time.monotonic()

    def stop(self, request: gr.Request) -> None:
        """End what is being written for this page, or its place in the queue; also when the page is closed."""
        if asked := self._asked.get(request.session_hash):
            asked.stopped = True
            if asked.ticket:
                asked.ticket.stop()

    def _hint(self, asked: Ticket) -> str:
        """What the answers wait for."""
        if asked.stage == "Waiting":
            before = self.engine.place(asked)
            words = f"{before} before yours" if before else "yours is next"
            return f"Waiting for other answers to end: {words}. Stop gives up waiting."
        return f"{asked.stage}: this takes a few seconds, once." if asked.stage else ""

    def clear(self, request: gr.Request) -> tuple[Any, ...]:
        """Empty both lanes, and end what is being written."""
        if asked := self._asked.get(request.session_hash):
            asked.cleared = True
            self.stop(request)
        return [], [], [], "", "", "", IDLE


@dataclass
class _Asked:
    """An answer under way for one page."""

    ticket: Ticket | None = None
    stopped: bool = False
    cleared: bool = False


IDLE, BUSY = gr.update(interactive=False), gr.update(interactive=True)  # the Stop button


def _sampling(values: dict[str, Any]) -> Sampling:
    """The settings as the form gives them; a problem is told with its title, for the form may be folded away."""
    titles = {name: f"{f.title} (under Settings)" for name, f in Sampling.model_fields.items()}
    if empty := [titles[name] for name, value in values.items() if value is None]:
        raise StudioError(f"{empty[0]} is empty. Give it a value.")
    try:
        return Sampling(**values)
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: titles.get(name, name))) from error


def _history(turns: list[Turn], lane: int, prompt: str) -> list[dict[str, str]]:
    """One lane's conversation so far, with its own answers, and the new prompt."""
    messages = []
    for turn in turns:
        messages += [
            {"role": "user", "content": turn["prompt"]},
            {"role": "assistant", "content": turn["answers"][lane]},
        ]
    return [*messages, {"role": "user", "content": prompt}]


def _chats(turns: list[Turn]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    chats: tuple[list, list] = ([], [])
    for turn in turns:
        for lane, chat in enumerate(chats):
            chat.append({"role": "user", "content": turn["prompt"]})
            chat.append({"role": "assistant", "content": turn["answers"][lane] or "…"})
    return chats


def _under(answer: Any) -> str:
    if not answer.tokens and not answer.end:
        return ""
    return (
        f"{answer.tokens} tokens · first after {answer.first_token_seconds:.1f} s · "
        f"{answer.tokens_per_second:.0f} tokens/s · {END_WORDS[answer.end]}"
    )


def build_chat_tab(engine: Engine, demo: gr.Blocks, runs_changed: list[Callable[..., Any]]) -> None:
    """Build the tab; `runs_changed` are the events after which runs may have new adapters."""
    do = ChatActions(engine)
    seen = gr.State([])
    turns = gr.State([])
    with gr.Row():
        run = gr.Dropdown(label="Run", allow_custom_value=True, scale=3, min_width=220, elem_id="chat-run",
                          info="Finished runs, and runs that have a checkpoint.")  # fmt: skip
        adapter = gr.Dropdown(label="Adapter", allow_custom_value=True, scale=1, min_width=120, elem_id="chat-adapter",
                              info="The last, or a checkpoint.")  # fmt: skip
    hint = gr.Markdown(NO_RUN, elem_classes="qs-note", elem_id="chat-hint")
    with gr.Row(equal_height=True):
        lanes, under = zip(
            *(_build_lane(title, name) for title, name in (("Base", "base"), ("Tuned", "tuned"))), strict=True
        )
    with gr.Row():
        prompt = gr.Textbox(label="Prompt", placeholder="Ask both models the same thing", show_label=False,
                            container=False, lines=1,
                            max_lines=6, scale=6, min_width=240, elem_id="prompt", autofocus=False)  # fmt: skip
        send = gr.Button("Send", variant="primary", scale=1, min_width=80, elem_id="send")
        stop = gr.Button("Stop", variant="stop", interactive=False, scale=1, min_width=80, elem_id="chat-stop")
        clear = gr.Button("Clear", scale=1, min_width=80, elem_id="clear")
    gr.Examples(SUGGESTIONS, prompt, label="Try")
    with gr.Accordion("Settings, the same for both", open=False):
        system = build_fields(Sampling, ["system"])
        with gr.Row():
            fields = build_fields(Sampling, [name for name in Sampling.model_fields if name != "system"]) | system

    gr.on(
        [*runs_changed, run.input],
        told(do.refresh),
        [run, adapter, seen],
        [run, adapter, seen, hint],
        show_progress="hidden",
        api_visibility="private",
    )
    gr.on(
        [send.click, prompt.submit],
        told(do.send),
        inputs_kwargs={"run_id": run, "adapter": adapter, "prompt": prompt, "turns": turns, **fields},
        outputs=[prompt, turns, *lanes, *under, hint, stop],
        concurrency_limit=None,  # the engine has a queue of its own, which says where one stands
        show_progress="hidden",
        api_name="chat",
    )
    stop.click(told(do.stop), None, None, concurrency_limit=None, show_progress="hidden", api_visibility="private")
    demo.unload(do.stop)  # whoever closes the page gives its lanes and its place up
    clear.click(
        told(do.clear), None, [turns, *lanes, *under, hint, stop], concurrency_limit=None, show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip


def _build_lane(title: str, name: str) -> tuple[gr.Chatbot, gr.HTML]:
    with gr.Column(min_width=300):
        # answers are shown as the text they are: what a model writes must not become links, images or markup
        chat = gr.Chatbot(
            label=title, height=430, render_markdown=False, sanitize_html=True, buttons=["copy"],
            placeholder=f"The {name} model's answers appear here.", layout="bubble", group_consecutive_messages=False,
            elem_id=f"lane-{name}",
        )  # fmt: skip
        under = gr.HTML(elem_classes="qs-under", elem_id=f"under-{name}", padding=False)
    return chat, under
