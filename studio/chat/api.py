"""The endpoint /chat: one question to several lanes, answered whole, for programs that call Gradio's API."""

from collections.abc import Callable
from typing import Any

from core.chat.engine import Engine
from core.chat.queue_entry import QueueEntry
from core.chat.requests import resolve_lanes
from core.chat.turns import BASE, MAX_LANES
from core.chat.types import Generation, LaneRequest, adapter_key
from core.errors import StudioError
from studio.chat.answer_settings import parse_sampling
from studio.chat.conversations import Conversations
from studio.chat.model_picker import ModelPicker


def build_chat_call(engine: Engine) -> Callable[..., list[dict[str, Any]]]:
    """Return the function for `gr.api`; its annotations become the endpoint's types."""
    picker = ModelPicker(Conversations(engine))

    def chat(prompt: str, lanes: list[str], settings: dict[str, Any]) -> list[dict[str, Any]]:
        """Ask several lanes the same question and return when all have answered.

        Args:
            prompt: The question.
            lanes: One to four of "base", "RUN" or "RUN/ADAPTER", with an adapter such as "final" or "step 20", or the
                name of a GGUF file that was exported of the run.
            settings: Fields of `Sampling`; a field that is not given has its default.

        Returns:
            For each lane: model, text, tokens, end, first_token_seconds, tokens_per_second, note, labels. These are
            the labels of a classifier with their probabilities, the most probable first; its text is the first one.
        """
        if not isinstance(lanes, list) or not 0 < len(lanes) <= MAX_LANES:
            raise StudioError(f'Lanes are {str(lanes)[:80]!r}. Expected a list of one to {MAX_LANES}: ["base", "RUN"].')
        if not isinstance(prompt, str) or not isinstance(settings or {}, dict):
            raise StudioError('The prompt must be a text, and settings an object such as {"temperature": 0}.')
        sampling = parse_sampling(settings or {})
        requests = [LaneRequest([{"role": "user", "content": prompt}], sampling, _parse_lane(name)) for name in lanes]
        base = None if any(request.adapter for request in requests) else picker.default_base()
        # The engine yields the entry after every step; at the last, the answers are whole.
        *_, finished = engine.ask(QueueEntry(resolve_lanes(engine.store, requests, base)))
        return [_as_dict(name, answer) for name, answer in zip(lanes, finished.generations, strict=True)]

    return chat


def _parse_lane(name: object) -> str | None:
    """Return the key of the adapter that a lane names: "base", "RUN" (its final adapter) or "RUN/ADAPTER".

    Raises:
        StudioError: The lane names no run, or an adapter of the base.
    """
    run, _, adapter = str(name).partition("/")
    if not run or (run == BASE and adapter):
        raise StudioError(f'There is no lane {str(name)[:80]!r}. Send "base", "RUN", or "RUN/ADAPTER" of a run.')
    return adapter_key("" if run == BASE else run, adapter or "final")


def _as_dict(name: str, answer: Generation) -> dict[str, Any]:
    """Return what a caller gets of one lane's answer."""
    return {
        "model": name,
        "text": answer.text,
        "tokens": answer.tokens,
        "end": answer.end,
        "first_token_seconds": round(answer.first_token_seconds, 3),
        "tokens_per_second": round(answer.tokens_per_second, 1),
        "note": answer.note,
        "labels": [list(pair) for pair in answer.labels],
    }
