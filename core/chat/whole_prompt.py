"""Prompts of programs as the model reads them: whole, with or without a chat template, or refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from core.chat.program_request import ProgramOptions, PromptTooLongError
from core.chat.types import LaneRequest, Prompt
from core.data.formats import Message
from core.errors import StudioError, reason_of, shorten_value
from core.models.tokenizer import TooManyTokensError, check_length, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def read_whole(
    request: LaneRequest, tokenizer: "PreTrainedTokenizerBase", vocabulary: int,
    render: Callable[[list[Message]], list[int]], context: int | None,
) -> Prompt:  # fmt: skip
    """Return the tokens of a program's prompt.

    Args:
        request: The lane, with options.
        tokenizer: The model's tokenizer.
        vocabulary: Number of tokens that the model has embeddings for.
        render: Returns the token ids of a conversation; raises a TooManyTokensError if it has far too many.
        context: Tokens that the model can read; None for any number.

    Raises:
        PromptTooLongError: The prompt does not fit with its answer.
        StudioError: The prompt is empty, or holds tokens that the model does not know.
    """
    program = request.program or ProgramOptions()
    try:
        ids = _raw_ids(program, tokenizer, vocabulary, context) if program.is_raw else render(request.messages)
    except TooManyTokensError as error:
        raise PromptTooLongError(
            f"The beginning of the prompt alone has {error.args[0]:,} tokens, but the model reads at most {context:,} "
            "together with the answer. Shorten the prompt."
        ) from error
    answer = 0 if not program.writes_answer else 1 if program.fills_context else request.sampling.max_new_tokens
    if context is not None and len(ids) + answer > context:
        beside = f", and {answer:,} more are asked for as the answer" if answer else ""
        raise PromptTooLongError(
            f"The prompt has {len(ids):,} tokens{beside}, but the model reads at most {context:,} together. Shorten "
            "the prompt, or ask for fewer tokens."
        )
    return Prompt(ids, [])


def fit_answer(request: LaneRequest, prompt_tokens: int, context: int | None) -> LaneRequest:
    """Return a lane whose answer fits beside its prompt, if its options allow a shorter one; otherwise the same lane.

    Args:
        request: The lane.
        prompt_tokens: Tokens of its prompt, which leaves at least one of the context.
        context: Tokens that the model can read; None for any number.
    """
    if context is None or request.program is None or not request.program.fills_context:
        return request
    length = min(request.sampling.max_new_tokens, context - prompt_tokens)
    return replace(request, sampling=request.sampling.model_copy(update={"max_new_tokens": length}))


def _raw_ids(
    program: ProgramOptions, tokenizer: "PreTrainedTokenizerBase", vocabulary: int, context: int | None
) -> list[int]:
    if program.ids is not None:
        ids = list(program.ids)
    else:
        try:
            if context is not None:
                check_length(tokenizer, program.text or "", context)
            ids = list(encode(tokenizer, program.text or "", add_special_tokens=True)["input_ids"])
        except ValueError as error:
            raise StudioError(f"The prompt cannot be read: {reason_of(error)}. Send another text.") from error
    if not ids:
        raise StudioError("The prompt is empty. Send a text, or at least one token.")
    if unknown := next((token for token in ids if not 0 <= token < vocabulary), None):
        raise StudioError(
            f"The prompt holds the token {shorten_value(unknown)}. This model has the tokens 0 to {vocabulary - 1:,}."
        )
    return ids
