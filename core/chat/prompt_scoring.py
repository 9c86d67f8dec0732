"""Log-probabilities of the tokens of programs' prompts, batch by batch, between the steps of other answers."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from core.chat.likely_tokens import name_tokens
from core.chat.program_request import PromptToken
from core.chat.queue_entry import QueueEntry
from core.chat.text_decoder import TextDecoder
from core.data.tokens import IGNORE_INDEX

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from core.chat.forward import TokenScores
    from core.chat.lanes import Lanes


def score_prompts(lanes: "Lanes", entry: QueueEntry) -> Iterator[None]:
    """Write the probabilities of a question's prompts into its generations, one batch per iteration.

    Args:
        lanes: The loaded base with the adapters of the question.
        entry: The question, with rendered prompts. Equal prompts of one model are computed once.
    """
    from core.chat.forward import TargetText, token_scores

    wanted: dict[tuple[tuple[int, ...], str | None], list[int]] = {}
    for index, prompt in entry.prompts.items():
        lane = entry.lanes[index]
        if lane.program is not None and lane.program.scores_prompt:
            wanted.setdefault((tuple(prompt.ids), lane.adapter), []).append(index)
    top = max((entry.lanes[index].program.top_logprobs for same in wanted.values() for index in same), default=0)
    tokenizer = lanes.base.tokenizer
    texts = []
    for (ids, adapter), same in wanted.items():
        if len(ids) == 1:
            _write(entry, same, _describe(tokenizer, ids, None))
        else:
            texts.append(TargetText(ids, [IGNORE_INDEX, *ids[1:]], adapter))
    for batch in token_scores(lanes, texts, top):
        for at, scores in batch:
            text = texts[at]
            same = wanted[tuple(text.ids), text.adapter]
            _write(entry, same, _describe(tokenizer, text.ids, scores))
        yield


def _write(entry: QueueEntry, indices: Sequence[int], tokens: list[PromptToken]) -> None:
    for index in indices:
        entry.generations[index].scores.prompt = tokens


def _describe(
    tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int], scores: "TokenScores | None"
) -> list[PromptToken]:
    """Return the tokens of a prompt with their texts and scores; the first one has no scores.

    Raises:
        StudioError: The scores are no numbers.
    """
    from core.chat.sampler import check_finite

    decoder = TextDecoder(tokenizer, skip_special_tokens=False)
    pieces = []
    for token in ids:
        decoder.push(token)
        pieces.append(decoder.read())
    pieces[-1] += decoder.finish()
    found = [PromptToken(ids[0], pieces[0], None, [])]
    if scores is not None:
        # No logit is a number where one of them is not; a token may well be impossible.
        if any(map(math.isnan, scores.losses)):
            check_finite(math.nan)
        logprobs, tops = (-scores.losses).tolist(), zip(scores.top_ids, scores.top_losses, strict=True)
        for token, piece, logprob, (top_ids, top_losses) in zip(ids[1:], pieces[1:], logprobs, tops, strict=True):
            top = name_tokens(tokenizer, top_ids.tolist(), (-top_losses).tolist())
            found.append(PromptToken(token, piece, logprob, top))
    return found
