"""Shortening of a conversation so that its prompt fits the model's context; shared by Chat and Evaluate.

A conversation that fits is used as it is. Otherwise its oldest turns are left out, up to a later user turn. The system
turns at its beginning stay.
"""

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
    system_count = next((at for at, message in enumerate(messages) if message["role"] != "system"), len(messages))
    system, turns, notes = messages[:system_count], messages[system_count:], []
    if sampling.system.strip():
        if system:
            notes.append(OWN_SYSTEM_NOTE)
        else:
            system = [{"role": "system", "content": sampling.system}]
    # Templates expect a user turn first, so only those may become the new beginning.
    for start in [0, *(at for at, turn in enumerate(turns) if at and turn["role"] == "user")]:
        ids = render([*system, *turns[start:]])
        if limit is None or len(ids) <= limit:
            if start:
                notes.append(_left_out_note(start, context, bool(system)))
            return ids, notes
    raise StudioError(
        f"The question has {len(ids):,} tokens, and with an answer of up to {sampling.max_new_tokens:,} it "
        f"exceeds what the model can read ({context:,}). Shorten it, or lower the length."
    )


def _left_out_note(count: int, context: int | None, has_system: bool) -> str:
    where = " after the system turn" if has_system else ""
    return f"The model reads {context:,} tokens: the first {count} messages{where} of this conversation were left out."
