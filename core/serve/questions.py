"""Questions to the engine, made of the parameters of a request: one lane for each answer."""

import secrets
from typing import Any

from core.chat.program_request import ProgramOptions
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.data.formats import Message
from core.serve.errors import ApiError
from core.serve.parameters import ChatParameters, CompletionParameters, Parameters

# Length of an answer whose request gives none: as much as the context leaves, up to the most that the engine allows.
_LONGEST = next(each.le for each in Sampling.model_fields["max_new_tokens"].metadata if hasattr(each, "le"))
_SEEDS = 2**32
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def chat_lanes(asked: ChatParameters, adapter: str | None) -> list[LaneRequest]:
    """Return the lanes of a chat request.

    Args:
        asked: Its parameters.
        adapter: Key of the model's adapter; None for a base.

    Raises:
        ApiError: A message or a setting cannot be used.
    """
    messages = [_message(message, at) for at, message in enumerate(asked.messages)]
    if messages[-1]["role"] != "user":
        raise ApiError(
            400, f"The last message has the role {asked.messages[-1].get('role')!r}, expected 'user'. End the messages "
            "with a question.", "messages",
        )  # fmt: skip
    options = ProgramOptions(stop=asked.stops, top_logprobs=asked.top_logprobs, fills_context=asked.length is None)
    return [LaneRequest(messages, sampling, adapter, program=options) for sampling in _samplings(asked, asked.length)]


def completion_lanes(asked: CompletionParameters, adapter: str | None) -> list[LaneRequest]:
    """Return the lanes of a completion request: the answers to the first prompt, then those to the next.

    Args:
        asked: Its parameters.
        adapter: Key of the model's adapter; None for a base.

    Raises:
        ApiError: A setting cannot be used.
    """
    samplings = _samplings(asked, 1 if asked.max_tokens == 0 else asked.max_tokens)
    lanes = []
    for prompt in asked.prompts:
        options = ProgramOptions(
            text=prompt if isinstance(prompt, str) else None,
            ids=None if isinstance(prompt, str) else tuple(prompt),
            stop=asked.stops,
            top_logprobs=asked.logprobs or 0,
            # The echo of token ids needs their texts, which the engine gives together with the probabilities.
            scores_prompt=asked.echo and (asked.logprobs is not None or not isinstance(prompt, str)),
            writes_answer=asked.max_tokens != 0,
            fills_context=asked.max_tokens is None,
        )
        lanes += [LaneRequest([], sampling, adapter, program=options) for sampling in samplings]
    return lanes


def _samplings(asked: Parameters, length: int | None) -> list[Sampling]:
    """Return the settings of each of the n answers; the first has the given seed, each further one the next."""
    seed = secrets.randbelow(_SEEDS) if asked.seed is None else asked.seed
    length = _LONGEST if length is None else length
    # `Sampling` checks the bounds of the given seed. After the largest seed, the next ones begin again at 0.
    return [asked.sampling(length, seed if at == 0 else (seed + at) % _SEEDS) for at in range(asked.n)]


def _message(message: dict[str, Any], at: int) -> Message:
    """Return a message as the engine reads it.

    Raises:
        ApiError: It has an unknown role, parts other than text, or a field that is not used.
    """
    name = f"messages[{at}]"
    role = _ROLES.get(str(message.get("role")))
    if role is None:
        raise ApiError(
            400, f"{name} has the role {str(message.get('role'))[:60]!r}. Expected one of: {', '.join(_ROLES)}.", name
        )
    # Clients send an answer back with all its fields, also the empty ones, such as tool_calls.
    if unused := [key for key, value in message.items() if key not in ("role", "content") and value]:
        raise ApiError(400, f"{name} has the field {unused[0][:60]!r}, which no model here reads. Leave it out.", name)
    return {"role": role, "content": _text(message.get("content"), name)}


def _text(content: Any, name: str) -> str:
    """Return the text of a message, whose content may be a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise ApiError(400, f"{name} has no content. Expected a text, or a list of parts of type 'text'.", name)
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise ApiError(400, f"{name} has a part of type {str(kind)[:60]!r}. The models here read only text.", name)
    return "".join(part["text"] for part in content)
