"""Probe of a model at load time: short texts through the batched decoder, compared with each text alone.

A model that fails is decoded one sequence at a time (`core.chat.plain`). `generate` is the reference. Texts are short,
so attention windows are shortened while a probe runs; otherwise no text would reach beyond them.
"""

import sys
import traceback

import torch

from core.chat.adapter_probe import arbitrary_ids
from core.chat.adapters import RowAdapters
from core.chat.decoder import Decoder, TokenSequence
from core.chat.plain import PlainAnswer
from core.errors import StudioError
from core.models.probing import all_agree, short_windows

# Tokens of the two prompts. The second joins while the first is being answered, so padding and masks are tested.
_PROMPT_TOKENS = (9, 4)
_ANSWER_TOKENS = 3
# Tokens read at once, so that the longer prompt takes several chunks.
_CHUNK_TOKENS = 4

# A prompt, and the tokens of its answer.
_Text = tuple[list[int], list[int]]


def decoder_failure(model: torch.nn.Module, pad: int) -> str:
    """Return why the batched decoder is wrong for a model, as the rest of a sentence; empty if it is right.

    Args:
        model: The base model.
        pad: Id of the padding token.

    Raises:
        StudioError: The model cannot generate at all.
    """
    adapters = RowAdapters(model)
    texts = _texts(model)
    with short_windows(model):
        try:
            expected = [_logits_alone(model, text) for text in texts]
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise StudioError(
                f"The model cannot answer: transformers' generate failed on a short text ({type(error).__name__}: "
                f"{error}). Choose another model, or attention eager for its runs."
            ) from error
        try:
            found = _logits_batched(Decoder(model, adapters, pad, _CHUNK_TOKENS), texts)
        except Exception as error:
            # A cache or an argument that the decoder does not know.
            return f"{type(model).__name__} cannot be batched with a plain key-value cache ({type(error).__name__})"
        if not _agree(model, texts, found, expected):
            return f"{type(model).__name__} gives other logits in a batch than alone"
    return ""


def can_interleave(model: torch.nn.Module) -> bool:
    """Return whether two texts can advance alternately through the plain decoder.

    They cannot where the modules themselves hold the state of a text.
    """
    texts = _texts(model)
    expected = [_logits_alone(model, text) for text in texts]
    answers = [PlainAnswer(model, prompt, len(answer)) for prompt, answer in texts]
    found: list[list[torch.Tensor]] = [[] for _ in texts]
    for at in range(_ANSWER_TOKENS):
        for logits, answer, (_, tokens) in zip(found, answers, texts, strict=True):
            logits.append(answer.next(tokens[at - 1] if at else None))
    return _agree(model, texts, [torch.stack(logits) for logits in found], expected)


def _agree(model: torch.nn.Module, texts: list[_Text], found: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    """Return whether logits found for texts agree with those of each text alone."""

    def logits_of(ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(input_ids=ids.to(model.device), use_cache=False).logits

    return all_agree(found, expected, [prompt + answer for prompt, answer in texts], logits_of)


def _texts(model: torch.nn.Module) -> list[_Text]:
    """Return different prompts with answers, of arbitrary tokens."""
    rows = arbitrary_ids(model, len(_PROMPT_TOKENS), max(_PROMPT_TOKENS) + _ANSWER_TOKENS)
    pairs = zip(rows, _PROMPT_TOKENS, strict=True)
    return [(ids[:length], ids[length : length + _ANSWER_TOKENS]) for ids, length in pairs]


def _logits_alone(model: torch.nn.Module, text: _Text) -> torch.Tensor:
    """Return the logits (answer, vocabulary) before each token of the answer."""
    prompt, answer = text
    plain = PlainAnswer(model, prompt, len(answer))
    return torch.stack([plain.next(token) for token in (None, *answer[:-1])])


def _logits_batched(decoder: Decoder, texts: list[_Text]) -> list[torch.Tensor]:
    """Return the same logits by the batched decoder; later texts join one step after the first."""
    found: list[list[torch.Tensor]] = [[] for _ in texts]

    def sequence(at: int) -> TokenSequence:
        prompt, answer = texts[at]

        def on_logits(logits: torch.Tensor) -> int | None:
            found[at].append(logits)
            return answer[len(found[at]) - 1] if len(found[at]) < len(answer) else None

        return TokenSequence(prompt, None, on_logits)

    decoder.join([sequence(0)])
    while not found[0]:
        decoder.step()
    decoder.join([sequence(at) for at in range(1, len(texts))])
    while decoder.step():
        pass
    return [torch.stack(logits) for logits in found]
