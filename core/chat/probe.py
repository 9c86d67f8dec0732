"""Probes at load time: short texts through the batched decoder, compared with each text alone through `generate`.

A model or an adapter that fails a probe is decoded one sequence at a time (`core.chat.plain`). Probe texts are short,
so attention windows are shortened while a probe runs; otherwise no text would reach beyond them.
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

# Tokens of the two prompts. The second joins while the first is being answered, so padding and masks are tested.
_PROMPT_TOKENS = (9, 4)
_ANSWER_TOKENS = 3
# Tokens read at once, so that the longer prompt takes several chunks.
_CHUNK_TOKENS = 4
# Ids at the front of a vocabulary are often special tokens.
_FIRST_ID = 5

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
    texts = _texts(model, len(_PROMPT_TOKENS))
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
    if not all(close(one, other) for one, other in zip(found, expected, strict=True)):
        return f"{type(model).__name__} gives other logits in a batch than alone"
    return ""


def takes_turns(model: torch.nn.Module) -> bool:
    """Return whether two texts can advance in turn through the plain decoder.

    They cannot where the modules themselves hold the state of a text.
    """
    texts = _texts(model, len(_PROMPT_TOKENS))
    expected = [_logits_alone(model, text) for text in texts]
    answers = [PlainAnswer(model, prompt, len(answer)) for prompt, answer in texts]
    found: list[list[torch.Tensor]] = [[] for _ in texts]
    for at in range(_ANSWER_TOKENS):
        for logits, answer, (_, tokens) in zip(found, answers, texts, strict=True):
            logits.append(answer.next(tokens[at - 1] if at else None).float())
    return all(close(torch.stack(logits), one) for logits, one in zip(found, expected, strict=True))


def adapter_failure(model: torch.nn.Module, adapters: RowAdapters, key: str, tuned: PeftModel) -> str:
    """Return why an adapter's rows cannot share a batch with the base's; empty if they can.

    Base and tuned rows alternate in one batch. The base's rows must be bit-identical to those of the same batch without
    the adapter; the tuned rows must agree with PEFT's model alone.

    Args:
        model: The base model.
        adapters: Its adapters, with hooks for this one.
        key: The adapter.
        tuned: PEFT's model of the adapter.
    """
    prompts = [prompt for prompt, _ in _texts(model, 4, same_length=True)]
    ids = torch.tensor(prompts, device=model.device)  # (4, T)
    try:
        with torch.no_grad():
            adapters.set_rows([])
            bare = model(input_ids=ids).logits  # (4, T, vocabulary)
            adapters.set_rows([None, key, None, key])
            mixed = model(input_ids=ids).logits  # (4, T, vocabulary)
            adapters.set_rows([])
            alone = [tuned(input_ids=ids[at : at + 1]).logits[0] for at in (1, 3)]
    except Exception as error:
        return f"its rows cannot be separated in a batch ({type(error).__name__}: {error})"
    finally:
        adapters.set_rows([])
    if not torch.equal(mixed[[0, 2]], bare[[0, 2]]):
        return "in a batch it would change the base's rows"
    if not all(close(mixed[at], own) for at, own in zip((1, 3), alone, strict=True)):
        return "in a batch it gives other logits than PEFT alone"
    return ""


def _texts(model: torch.nn.Module, count: int, same_length: bool = False) -> list[_Text]:
    """Return different prompts with answers, of arbitrary tokens."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    lengths = [_PROMPT_TOKENS[0]] * count if same_length else _PROMPT_TOKENS
    rows = [[_FIRST_ID + (7 * at + 31 * row) % (vocabulary - 8) for at in range(32)] for row in range(count)]
    return [(ids[:length], ids[length : length + _ANSWER_TOKENS]) for ids, length in zip(rows, lengths, strict=True)]


def _logits_alone(model: torch.nn.Module, text: _Text) -> torch.Tensor:
    """Return the logits (answer, vocabulary) before each token of the answer."""
    prompt, answer = text
    plain = PlainAnswer(model, prompt, len(answer))
    return torch.stack([plain.next(token) for token in (None, *answer[:-1])]).float()


def _logits_batched(decoder: Decoder, texts: list[_Text]) -> list[torch.Tensor]:
    """Return the same logits by the batched decoder; later texts join one step after the first."""
    found: list[list[torch.Tensor]] = [[] for _ in texts]

    def sequence(at: int) -> TokenSequence:
        prompt, answer = texts[at]

        def on_logits(logits: torch.Tensor) -> int | None:
            found[at].append(logits.float())
            return answer[len(found[at]) - 1] if len(found[at]) < len(answer) else None

        return TokenSequence(prompt, None, on_logits)

    decoder.join([sequence(0)])
    while not found[0]:
        decoder.step()
    decoder.join([sequence(at) for at in range(1, len(texts))])
    while decoder.step():
        pass
    return [torch.stack(logits) for logits in found]
