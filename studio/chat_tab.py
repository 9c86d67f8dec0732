"""The Chat tab: one prompt, the base and the tuned model side by side, from one copy of the weights."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from components.model_form import build_fields, form_validator, given
from core.chat.host import ChatHost
from core.chat.sampling import Sampling
from core.errors import StudioError
from studio.told import told

# A page update a token would cost more than the token: at most so many a second.
UPDATES_A_SECOND = 10
NO_RUN = "Train first: run the “Quick demo” in the Train tab, then come back and ask both models the same thing."
SUGGESTIONS = ["How do I make a good cup of tea?", "Why is the sky blue?", "Should I learn to play the piano?"]

Turn = dict[str, Any]  # prompt, answers (base, tuned)


class ChatActions:
    """What the tab does; names no widget's layout."""

    def __init__(self, host: ChatHost):
        self.host = host
        self._stops: dict[str, threading.Event] = {}

    def run_choices(self) -> list[tuple[str, str]]:
        return [(f"{run.id} · {run.config().model}", run.id) for run in self.host.store.runs() if run.adapters()]

    def refresh(self, chosen: str | None, adapter: str | None, seen: list[str]) -> tuple[Any, Any, list[str], str]:
        """The lists of runs and adapters as they are now. What is chosen stays, until its run has a newer adapter."""
        choices = self.run_choices()
        known = [run for _, run in choices]
        run_id = chosen if chosen in known else (known[0] if known else None)
        if run_id is None:
            return gr.update(choices=[], value=None), gr.update(choices=[], value=None), [], NO_RUN
        names = list(self.host.store.run(run_id).adapters())
        value = adapter if names == seen and adapter in names else names[0]
        return gr.update(choices=choices, value=run_id), gr.update(choices=names, value=value), names, ""

    def send(
        self,
        run_id: str | None,
        adapter: str | None,
        prompt: str,
        turns: list[Turn],
        request: gr.Request,
        **values: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """Stream both lanes: prompt box, turns, two chats, two lines under them, the hint."""
        if not run_id or not adapter:
            raise StudioError(NO_RUN)
        if not prompt or not prompt.strip():
            raise StudioError("The prompt is empty. Type a question first.")
        sampling = Sampling(**given(values))
        conversations = [_history(turns, lane, prompt) for lane in (0, 1)]
        stopping = self._stops[request.session_hash] = threading.Event()
        shown_at, drawn = 0.0, None
        try:
            yield "", turns, *_chats([*turns, {"prompt": prompt, "answers": ["…", "…"]}]), "", "", self._hint()
            for answers in self.host.answer(run_id, adapter, conversations, sampling, stopping.is_set):
                drawn = (
                    [*turns, {"prompt": prompt, "answers": [a.text for a in answers]}],
                    [_under(a) for a in answers],
                )
                if time.monotonic() - shown_at >= 1 / UPDATES_A_SECOND:
                    yield "", drawn[0], *_chats(drawn[0]), *drawn[1], ""
                    shown_at = time.monotonic()
        finally:
            self._stops.pop(request.session_hash, None)
        if drawn:
            yield "", drawn[0], *_chats(drawn[0]), *drawn[1], ""

    def stop(self, request: gr.Request) -> None:
        if event := self._stops.get(request.session_hash):
            event.set()

    def _hint(self) -> str:
        if self.host.loaded is None:
            return "Loading the model: this takes a few seconds, once."
        active = self.host.store.active()
        return f"The run {active.id} is training on this machine, so answers come slower." if active else ""

    def clear(self) -> tuple[Any, ...]:
        return [], [], [], "", ""


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
    from core.chat.lanes import END_WORDS

    return (
        f"{answer.tokens} tokens · first after {answer.first_token_seconds:.1f} s · "
        f"{answer.tokens_per_second:.0f} tokens/s · {END_WORDS[answer.end]}"
    )


def build_chat_tab(host: ChatHost, demo: gr.Blocks, runs_changed: gr.events.EventListener) -> None:
    """Build the tab; `runs_changed` is the event after which runs may have new adapters."""
    do = ChatActions(host)
    seen = gr.State([])
    turns = gr.State([])
    with gr.Row():
        run = gr.Dropdown(label="Run", filterable=False, scale=3, min_width=220, elem_id="chat-run",
                          info="Finished runs, and runs that have a checkpoint.")  # fmt: skip
        adapter = gr.Dropdown(label="Adapter", filterable=False, scale=1, min_width=120, elem_id="chat-adapter",
                              info="The last, or a checkpoint.")  # fmt: skip
    hint = gr.Markdown(NO_RUN, elem_classes="qs-note", elem_id="chat-hint")
    with gr.Row(equal_height=True):
        lanes, under = zip(
            *(_build_lane(title, name) for title, name in (("Base", "base"), ("Tuned", "tuned"))), strict=True
        )
    with gr.Row():
        prompt = gr.Textbox(placeholder="Ask both models the same thing", show_label=False, container=False, lines=1,
                            max_lines=6, scale=6, min_width=240, elem_id="prompt", autofocus=False)  # fmt: skip
        send = gr.Button("Send", variant="primary", scale=1, min_width=80, elem_id="send")
        stop = gr.Button("Stop", variant="stop", scale=1, min_width=80, elem_id="chat-stop")
        clear = gr.Button("Clear", scale=1, min_width=80, elem_id="clear")
    gr.Examples(SUGGESTIONS, prompt, label="Try")
    with gr.Accordion("Settings, the same for both", open=False):
        system = build_fields(Sampling, ["system"])
        with gr.Row():
            fields = build_fields(Sampling, [name for name in Sampling.model_fields if name != "system"]) | system

    gr.on(
        [demo.load, run.input, runs_changed],
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
        outputs=[prompt, turns, *lanes, *under, hint],
        validator=_validate_send,
        concurrency_id="model",
        concurrency_limit=1,
        show_progress="hidden",
        api_name="chat",
    )
    stop.click(told(do.stop), None, None, concurrency_limit=None, show_progress="hidden", api_visibility="private")
    clear.click(do.clear, None, [turns, *lanes, *under], show_progress="hidden", api_visibility="private")


def _validate_send(run_id: Any, adapter: Any, prompt: str, turns: Any, **values: Any) -> list[Any]:
    fine = gr.validate(True, "")
    return [
        fine,
        fine,
        gr.validate(bool(prompt and prompt.strip()), "Type a question first."),
        fine,
        *form_validator(Sampling)(**values),
    ]


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
