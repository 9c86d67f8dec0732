"""Visitors' token quota: tokens are reserved before a question is queued, and settled when its answers have ended."""

from collections.abc import Callable
from dataclasses import replace

from core.access import roles
from core.access.quotas import Quotas, Tokens
from core.chat.queue_entry import QueueEntry
from core.chat.types import LaneRequest
from core.settings import Settings

# The reservation estimates the prompt's tokens, because the prompt is not tokenized yet. A low number of characters per
# token makes the estimate too large rather than too small.
_CHARS_PER_TOKEN = 3


class VisitorQuota:
    """Quota of all visitors together.

    Attributes:
        quotas: The limits.
        tokens: The tokens that were used today.
    """

    def __init__(self, settings: Settings):
        self.quotas = Quotas()
        self.tokens = Tokens(settings, self.quotas)

    def reserve(self, entry: QueueEntry) -> Callable[[], None]:
        """Limit the length of a visitor's answers, and reserve their tokens; the owner's are not counted.

        Args:
            entry: The question; its request is replaced by one with shorter answers.

        Returns:
            A function to call once the answers have ended: it gives back what was not used, which is everything if the
            question was never admitted.

        Raises:
            StudioError: The question takes more than what is left.
        """
        caller = roles.caller()
        if caller.is_owner:
            return lambda: None
        entry.request = replace(entry.request, lanes=[self._limited(lane) for lane in entry.lanes])
        reserved = sum(_estimated_prompt_tokens(lane) + lane.sampling.max_new_tokens for lane in entry.lanes)
        self.tokens.reserve(caller.name, reserved)

        def settle() -> None:
            written = sum(one.tokens - one.prefix_tokens for one in entry.generations)
            self.tokens.settle(caller.name, reserved, entry.prompt_tokens + written if entry.is_admitted else 0)

        return settle

    def _limited(self, lane: LaneRequest) -> LaneRequest:
        limit = min(lane.sampling.max_new_tokens, self.quotas.visitor_answer)
        return replace(lane, sampling=lane.sampling.model_copy(update={"max_new_tokens": limit}))


def _estimated_prompt_tokens(lane: LaneRequest) -> int:
    texts = [lane.sampling.system, *(message["content"] for message in lane.messages)]
    return sum(map(len, texts)) // _CHARS_PER_TOKEN + len(lane.prefix_ids)
