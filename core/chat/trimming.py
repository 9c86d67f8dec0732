"""Shortening of a conversation so that its prompt fits the model's context; shared by Chat and Evaluate.

A conversation that fits is used as it is. Otherwise its oldest turns are left out, up to a later user turn. The system
turns at its beginning stay.
"""

from bisect import bisect_left
from collections.abc import Callable

from core.chat.sampling import Sampling
from core.data.formats import Message
from core.errors import StudioError

OWN_SYSTEM_NOTE = "The conversation has a system turn of its own, which was used instead of the system prompt setting."


def fit_prompt(
    messages: list[Message],
    sampling: Sampling,
    render: Callable[[list[Message]], list[int]],
    limit: int | None,
    context: int | None,
) -> tuple[list[int], list[str]]:
    """Render a conversation so that it fits.

    Args:
        messages: The conversation; it may begin and end with turns of any role.
        sampling: Settings; their system prompt is put before a conversation that has none.
        render: Returns the token ids that ask for the next answer.
        limit: Longest prompt, in tokens; None for any length.
        context: Tokens that the model can read, for messages.

    Returns:
        The token ids, and notes on what was changed.

    Raises:
        StudioError: Not even the last question fits.
    """
    system, turns, notes = split_system(messages, sampling)
    ids = render([*system, *turns])
    if limit is None or len(ids) <= limit:
        return ids, notes
    start, ids = _shorten(system, turns, render, limit, ids)
    if len(ids) <= limit:
        return ids, [*notes, _left_out_note(start, context, bool(system))]
    raise StudioError(
        f"The question has {len(ids):,} tokens, and with an answer of up to {sampling.max_new_tokens:,} it "
        f"exceeds what the model can read ({context:,}). Shorten it, or lower the length."
    )


def split_system(messages: list[Message], sampling: Sampling) -> tuple[list[Message], list[Message], list[str]]:
    """Return the system turns, with the system prompt of the settings if there are none; the other turns; and notes."""
    system_count = next((at for at, message in enumerate(messages) if message["role"] != "system"), len(messages))
    system, turns = messages[:system_count], messages[system_count:]
    if not sampling.system.strip():
        return system, turns, []
    if system:
        return system, turns, [OWN_SYSTEM_NOTE]
    return [{"role": "system", "content": sampling.system}], turns, []


def _shorten(
    system: list[Message], turns: list[Message], render: Callable[[list[Message]], list[int]], limit: int,
    ids: list[int],
) -> tuple[int, list[int]]:  # fmt: skip
    """Return how many turns are left out so that the others fit, and their token ids; the shortest if none fit.

    Fewer turns have fewer tokens, so a binary search renders few beginnings of a long conversation.

    Args:
        system: The system turns, which stay.
        turns: All other turns.
        render: Returns token ids.
        limit: Longest prompt, in tokens.
        ids: Token ids of all turns.
    """
    # Templates expect a user turn first, so only those may become the new beginning.
    starts = [at for at, turn in enumerate(turns) if at and turn["role"] == "user"]
    rendered = {0: ids}

    def fits(start: int) -> bool:
        rendered[start] = render([*system, *turns[start:]])
        return len(rendered[start]) <= limit

    found = bisect_left(starts, True, key=fits)
    start = starts[found] if found < len(starts) else max(rendered)
    return start, rendered[start]


def _left_out_note(count: int, context: int | None, has_system: bool) -> str:
    where = f"{' after the system turn' if has_system else ''} of this conversation"
    left_out = f"message{where} was" if count == 1 else f"{count} messages{where} were"
    return f"The model reads {context:,} tokens: the first {left_out} left out."
