"""Probes at load time: short texts through the batched decoder against each text alone through `generate`.

A model or an adapter that fails a probe takes the plain path (`core.chat.plain`). The probe is short, so windows of
attention are made short while it runs, or it would not reach past them.
"""

import sys
import traceback

import torch
from peft import PeftModel

from core.chat.adapters import RowAdapters
from core.chat.decoder import Decoder, TokenSequence
from core.chat.plain import PlainAnswer
from core.errors import StudioError
from core.models.probing import close, short_windows

_LENGTHS = (9, 4)  # tokens of the two prompts; the second joins while the first is being written
_TOKENS = 3  # of each answer
_CHUNK = 4  # tokens that are read at once, so that the longer prompt takes several reads


def decoder_failure(model: torch.nn.Module, pad: int) -> str:
    """Return why the batched decoder is not right for a model, as the rest of a sentence; empty when it is.

    Raises:
        StudioError: the model cannot generate at all.
    """
    adapters = RowAdapters(model)
    texts = _texts(model, len(_LENGTHS))
    with short_windows(model):
        try:
            alone = [_alone(model, prompt, answer) for prompt, answer in texts]
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise StudioError(
                f"The model cannot answer: transformers' generate failed on a short text ({type(error).__name__}: "
                f"{error}). Choose another model, or attention eager for its runs."
            ) from error
        try:
            found = _together(Decoder(model, adapters, pad, _CHUNK), texts)
        except Exception as error:  # a cache or an argument that the decoder does not know
            return f"{type(model).__name__} cannot be batched with a plain key-value cache ({type(error).__name__})"
    if not all(close(one, other) for one, other in zip(found, alone, strict=True)):
        return f"{type(model).__name__} gives other logits in a batch than alone"
    return ""


def takes_turns(model: torch.nn.Module) -> bool:
    """Return whether two texts can take turns on the plain path; not where modules themselves keep a text's state."""
    texts = _texts(model, len(_LENGTHS))
    alone = [_alone(model, prompt, answer) for prompt, answer in texts]
    answers = [PlainAnswer(model, prompt, len(answer)) for prompt, answer in texts]
    found: list[list[torch.Tensor]] = [[] for _ in texts]
    for at in range(_TOKENS):
        for logits, text, (_, tokens) in zip(found, answers, texts, strict=True):
            logits.append(text.next(tokens[at - 1] if at else None).float())
    return all(close(torch.stack(logits), one) for logits, one in zip(found, alone, strict=True))


def adapter_failure(model: torch.nn.Module, adapters: RowAdapters, key: str, tuned: PeftModel) -> str:
    """Return why an adapter's rows cannot be decoded together with the base's; empty when they can.

    Base and tuned rows alternate in one batch. The base's rows must be those of the same batch without the adapter, to
    the bit; the tuned rows must be those of PEFT's model alone.
    """
    prompts = [prompt for prompt, _ in _texts(model, 4, same=True)]
    ids = torch.tensor(prompts, device=model.device)
    rows = [None, key, None, key]
    try:
        with torch.no_grad():
            adapters.set_rows([])
            bare = model(input_ids=ids).logits
            adapters.set_rows(rows)
            mixed = model(input_ids=ids).logits
            adapters.set_rows([])
            alone = [tuned(input_ids=ids[at : at + 1]).logits[0] for at in (1, 3)]
    except Exception as error:
        return f"its rows cannot be told apart in a batch ({type(error).__name__}: {error})"
    finally:
        adapters.set_rows([])
    if not torch.equal(mixed[[0, 2]], bare[[0, 2]]):
        return "in a batch it would change the base's rows"
    if not all(close(mixed[at], own) for at, own in zip((1, 3), alone, strict=True)):
        return "in a batch it gives other logits than PEFT alone"
    return ""


def _texts(model: torch.nn.Module, count: int, same: bool = False) -> list[tuple[list[int], list[int]]]:
    """Return prompts, each with the tokens of its answer. Any ids do; those at the front are often special."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    lengths = [_LENGTHS[0]] * count if same else _LENGTHS
    ids = [[5 + (7 * at + 31 * row) % (vocabulary - 8) for at in range(32)] for row in range(count)]
    return [(row[:length], row[length : length + _TOKENS]) for row, length in zip(ids, lengths, strict=True)]


def _alone(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Return the logits (tokens, vocabulary) before each token of the answer."""
    text = PlainAnswer(model, prompt, len(answer))
    return torch.stack([text.next(token) for token in (None, *answer[:-1])]).float()


def _together(decoder: Decoder, texts: list[tuple[list[int], list[int]]]) -> list[torch.Tensor]:
    """Return the same logits by the batched decoder; the later rows join one step after the first."""
    found: list[list[torch.Tensor]] = [[] for _ in texts]

    def row(at: int) -> TokenSequence:
        prompt, answer = texts[at]

        def take(logits: torch.Tensor) -> int | None:
            found[at].append(logits.float())
            return answer[len(found[at]) - 1] if len(found[at]) < len(answer) else None

        return TokenSequence(prompt, None, take)

    decoder.join([row(0)])
    while not found[0]:
        decoder.step()
    decoder.join([row(at) for at in range(1, len(texts))])
    while decoder.step():
        pass
    return [torch.stack(logits) for logits in found]
