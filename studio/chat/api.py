"""The chat without a page: one question to several lanes, answered whole, for programs that speak to Gradio's API."""

from typing import Any

from core.chat.conversation import BASE, MAX_LANES
from core.chat.engine import Engine
from core.chat.requests import Asked, ticket
from core.errors import StudioError
from studio.chat.model_picker import Choosing, sampling


def build_chat_call(engine: Engine):
    """What `gr.api` is given; its types are those of the endpoint."""
    choosing = Choosing(engine)

    def chat(prompt: str, lanes: list[str], settings: dict[str, Any]) -> list[dict[str, Any]]:
        """Ask several lanes the same thing and wait for all answers.

        Args:
            prompt: the question.
            lanes: who answers, each "base", "RUN", or "RUN/ADAPTER" with an adapter such as "final" or "step 20".
            settings: of the answers, as `Sampling` names them; what is not given has its default.

        Returns:
            For each lane: model, text, tokens, end, first_token_seconds, tokens_per_second, note.
        """
        if not isinstance(lanes, list) or not 0 < len(lanes) <= MAX_LANES:
            raise StudioError(f'Lanes are {str(lanes)[:80]!r}; expected a list of one to {MAX_LANES}: ["base", "RUN"].')
        if not isinstance(prompt, str) or not isinstance(settings or {}, dict):
            raise StudioError('The prompt is a text, and settings are names with values: {"temperature": 0}.')
        values = sampling(settings or {})
        asked = []
        for name in lanes:
            run, _, adapter = str(name).partition("/")
            run = "" if run == BASE else run
            asked.append(Asked([{"role": "user", "content": prompt}], values, run, adapter or "final"))
        base = None if any(one.run for one in asked) else choosing.base_named(choosing.default_base())
        *_, told = engine.ask(ticket(engine.store, asked, base))
        return [
            {
                "model": name, "text": answer.text, "tokens": answer.tokens, "end": answer.end,
                "first_token_seconds": round(answer.first_token_seconds, 3),
                "tokens_per_second": round(answer.tokens_per_second, 1), "note": answer.note,
            }
            for name, answer in zip(lanes, told.answers, strict=True)
        ]  # fmt: skip

    return chat
