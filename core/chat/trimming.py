"""The prompt of a conversation, shortened where it must be. Chat and Evaluate share this rule.

The conversation is asked as it is when it fits. Otherwise its oldest turns are left out, up to a later user turn; the
system turns that open it stay.
"""

from collections.abc import Callable

from core.chat.sampling import Sampling
from core.data.formats import Message
from core.errors import StudioError

OWN_SYSTEM = "The conversation has a system turn of its own, which was used instead of the system prompt setting."


def prompt(
    messages: list[Message],
    sampling: Sampling,
    render: Callable[[list[Message]], list[int]],
    room: int | None,
    context: int | None,
) -> tuple[list[int], list[str]]:
    """Render a conversation so that it fits.

    Args:
        messages: the conversation, whatever turns it begins and ends with.
        sampling: its system prompt stands before a conversation that has none.
        render: returns the token ids that ask for the next answer.
        room: tokens that the prompt may have; None for any number.
        context: tokens that the model can read, for messages.

    Returns:
        The token ids, and notes on what is not as it was asked.

    Raises:
        StudioError: not even the last question fits.
    """
    opening = next((at for at, message in enumerate(messages) if message["role"] != "system"), len(messages))
    system, turns, notes = messages[:opening], messages[opening:], []
    if sampling.system.strip():
        if system:
            notes.append(OWN_SYSTEM)
        else:
            system = [{"role": "system", "content": sampling.system}]
    for start in [0, *(at for at, turn in enumerate(turns) if at and turn["role"] == "user")]:
        ids = render([*system, *turns[start:]])
        if room is None or len(ids) <= room:
            if start:
                notes.append(_left_out(start, context, bool(system)))
            return ids, notes
    raise StudioError(
        f"The question has {len(ids):,} tokens, and with an answer of up to {sampling.max_new_tokens:,} it "
        f"exceeds what the model can read ({context:,}). Shorten it, or lower the length."
    )


def _left_out(count: int, context: int | None, has_system: bool) -> str:
    stays = " after the system turn" if has_system else ""
    return f"The model reads {context:,} tokens: the first {count} messages{stays} of this conversation were left out."
