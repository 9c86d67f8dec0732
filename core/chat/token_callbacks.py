"""Callbacks of a sequence: sample its next token, and write it to the answer."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.chat.generation_writer import GenerationWriter
from core.chat.likely_tokens import name_tokens
from core.chat.program_request import LikelyToken
from core.chat.sampler import TokenSampler, check_finite, top_logprobs
from core.chat.types import Generation

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


def make_callbacks(
    writer: GenerationWriter,
    sampler: TokenSampler,
    generation: Generation,
    tokenizer: "PreTrainedTokenizerBase",
    top: int = 0,
) -> tuple[Callable[["torch.Tensor"], int | None], Callable[[int, float], int | None]]:
    """Return `on_logits` and `on_token` of a sequence. An error fails its own answer, not the batch.

    Args:
        writer: Writer of the answer.
        sampler: Sampler of the lane.
        generation: The answer.
        tokenizer: The model's tokenizer.
        top: Number of the most likely tokens that `on_logits` keeps at each position.
    """

    def on_token(token: int, logprob: float, likely: list[LikelyToken] | None = None) -> int | None:
        try:
            check_finite(logprob)
            return writer.add(token, logprob, likely)
        except Exception as error:
            generation.error, generation.end = error, "failed"
            return None

    def on_logits(logits: "torch.Tensor") -> int | None:
        try:
            token, logprob = sampler.sample(logits)
            likely = name_tokens(tokenizer, *top_logprobs(logits, top)) if top else None
        except Exception as error:
            generation.error, generation.end = error, "failed"
            return None
        return on_token(token, logprob, likely)

    return on_logits, on_token
