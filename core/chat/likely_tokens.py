"""Texts of the most likely tokens, for programs that ask for them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.chat.program_request import LikelyToken
from core.models.tokenizer import decode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def name_tokens(
    tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int], logprobs: Sequence[float]
) -> list[LikelyToken]:
    """Return tokens with their texts."""
    return [
        LikelyToken(token, decode(tokenizer, [token], skip_special_tokens=False, clean_up_tokenization_spaces=False), p)
        for token, p in zip(ids, logprobs, strict=True)
    ]
