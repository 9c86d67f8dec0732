"""What a visitor may ask of the models: taken before a question is queued, settled when it has ended."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from core.access import roles
from core.access.quotas import Quotas, Tokens
from core.settings import Settings

if TYPE_CHECKING:
    from core.chat.engine import Ticket

_CHARACTERS_A_TOKEN = 3  # of a prompt, before it is tokenised: rather too many tokens than too few


def _nothing() -> None:
    pass


class VisitorQuota:
    """Attributes: quotas, tokens: the limits, and what was used of them."""

    def __init__(self, settings: Settings):
        self.quotas = Quotas()
        self.tokens = Tokens(settings, self.quotas)

    def take(self, ticket: "Ticket") -> Callable[[], None]:
        """Shorten a visitor's answers to what they may be, and set their tokens aside; what to call at the end.

        Raises StudioError when it is more than is left.
        """
        asking = roles.caller()
        if asking.is_owner:
            return _nothing
        ticket.lanes = [
            replace(lane, sampling=lane.sampling.model_copy(
                update={"max_new_tokens": min(lane.sampling.max_new_tokens, self.quotas.visitor_answer)}
            ))
            for lane in ticket.lanes
        ]  # fmt: skip
        read = sum(len(message["content"]) for lane in ticket.lanes for message in lane.messages) // _CHARACTERS_A_TOKEN
        reserved = read + sum(lane.sampling.max_new_tokens for lane in ticket.lanes)
        self.tokens.reserve(asking.name, reserved)

        def settle() -> None:
            written = sum(answer.tokens - answer.continued for answer in ticket.answers)
            self.tokens.settle(asking.name, reserved, read + written)

        return settle
