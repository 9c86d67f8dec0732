"""Plain decoder: each sequence by itself through transformers' own `generate`, a token at a time.

`generate` prepares the model's inputs and its cache, of whatever kind, and passes its loop to `_stream`, which pauses
after every token. Sequences with an adapter run through PEFT's model of it. Each step decodes one token of every
sequence, but no two share a matrix product: slower than a batch, and right for every model that `generate` is right
for. Where the modules themselves hold the state of a text, one sequence is finished before the next one starts.
"""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.variants import get_alora_offsets_for_generate

from core.chat.adapters import RowAdapters
from core.chat.decoder import TokenSequence
from core.chat.sampler import most_likely

# Length limit of an answer whose length is not known, in tokens.
_UNLIMITED_TOKENS = 1 << 20
_ROTARY_STATE = ("inv_freq", "max_seq_len_cached", "attention_scaling")

Stream = Generator[torch.Tensor, int, None]


def _stream(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    **model_kwargs: Any,
) -> Stream:
    """Run the loop of `GenerationMixin._sample`; yield logits (vocabulary,), and receive the next token."""
    outputs = model._prefill(input_ids, generation_config, model_kwargs)
    while True:
        model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs, is_encoder_decoder=False)
        token = yield outputs.logits[0, -1]  # (vocabulary,)
        input_ids = torch.cat([input_ids, input_ids.new_tensor([[token]])], dim=1)  # (1, length)
        # Without a cache, the model reads the whole text again.
        step = 1 if model_kwargs["use_cache"] else None
        inputs = model.prepare_inputs_for_generation(input_ids, next_sequence_length=step, **model_kwargs)
        outputs = model(**inputs, return_dict=True)


class PlainAnswer:
    """One text that a model, or PEFT's model of an adapter, continues token by token."""

    def __init__(self, model: torch.nn.Module | PeftModel, prompt_ids: list[int], max_new_tokens: int = 0):
        """Prepare a text; nothing is computed yet.

        Args:
            model: The base model, or PEFT's model over it.
            prompt_ids: Tokens before the answer.
            max_new_tokens: Limit of the answer's length; 0 if it is not known.
        """
        self._tuned = model if isinstance(model, PeftModel) else None
        self._model = model.get_base_model() if self._tuned is not None else model
        self._ids = torch.tensor([prompt_ids], device=self._model.device)  # (1, prompt)
        self._max_new_tokens = max_new_tokens or _UNLIMITED_TOKENS
        self._generator: Stream | None = None
        self._rotary = RotaryState(self._model)
        self._offsets: Any = None

    @torch.no_grad()
    def next(self, token: int | None = None) -> torch.Tensor:
        """Return the logits (vocabulary,) after a token, or after the prompt if none is given."""
        with self._rotary, self._alora():
            if self._generator is None:
                self._generator = self._model.generate(
                    self._ids,
                    attention_mask=torch.ones_like(self._ids),
                    custom_generate=_stream,
                    use_cache=True,
                    max_new_tokens=self._max_new_tokens,
                    do_sample=False,
                    num_beams=1,
                    return_dict_in_generate=False,
                )
                return next(self._generator)
            return self._generator.send(token)

    def _alora(self) -> contextlib.AbstractContextManager:
        """Return PEFT's hooks for adapters that begin at invocation tokens, as `PeftModel.generate` sets them."""
        if self._tuned is None:
            return contextlib.nullcontext()
        if self._offsets is None:
            self._offsets = get_alora_offsets_for_generate(self._tuned, input_ids=self._ids)
        return self._tuned._enable_peft_forward_hooks(**self._offsets)


class RotaryState:
    """State of rotary embeddings that depend on the text's length, for one text.

    Such embeddings rewrite their frequencies while they run. Entering the context installs this text's state, at first
    that of a fresh model; leaving it restores the state before. So no text is affected by the length of another one.
    """

    def __init__(self, model: torch.nn.Module):
        modules = [module for module in model.modules() if hasattr(module, "rope_type")]
        self._modules = [module for module in modules if any("inv_freq" in key for key in module._buffers)]
        self._own: list[dict[str, Any]] | None = None
        self._outside: list[dict[str, Any]] = []

    def __enter__(self) -> None:
        self._outside = [_state(module) for module in self._modules]
        fresh = [_fresh_state(module, state) for module, state in zip(self._modules, self._outside, strict=True)]
        self._install(self._own or fresh)

    def __exit__(self, *error: object) -> None:
        self._own = [_state(module) for module in self._modules]
        self._install(self._outside)

    def _install(self, states: list[dict[str, Any]]) -> None:
        for module, state in zip(self._modules, states, strict=True):
            for name, value in state.items():
                setattr(module, name, value)


def _state(module: torch.nn.Module) -> dict[str, Any]:
    """Return a copy of everything that a rotary embedding may rewrite while it runs."""
    names = [*module._buffers, *vars(module)]
    return {
        name: value.clone() if isinstance(value := getattr(module, name), torch.Tensor) else value
        for name in names
        if name.endswith(_ROTARY_STATE) and "original" not in name and "long" not in name
    }


def _fresh_state(module: torch.nn.Module, state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a rotary embedding that has seen no text yet."""
    fresh = dict(state)
    for name in state:
        if name.endswith("inv_freq"):
            prefix = name.removesuffix("inv_freq")
            original = getattr(module, f"{prefix}original_inv_freq", None)
            fresh[name] = state[name] if original is None else original.clone()
        elif name.endswith("max_seq_len_cached"):
            fresh[name] = getattr(module, "original_max_seq_len", state[name])
    return fresh


@dataclass(eq=False)
class _ActiveSequence:
    """A sequence with its answer.

    Attributes:
        last: The token that it continues with; None before the first.
    """

    sequence: TokenSequence
    answer: PlainAnswer
    last: int | None = field(default=None)


class PlainDecoder:
    """Decoder that steps through sequences one after the other."""

    def __init__(self, model: torch.nn.Module, adapters: RowAdapters, can_interleave: bool = True):
        """Start without sequences.

        Args:
            model: The base model.
            adapters: Its adapters.
            can_interleave: Whether every sequence advances in each step; otherwise only the first one, until it ends.
        """
        self._model, self._adapters, self._can_interleave = model, adapters, can_interleave
        self._active: list[_ActiveSequence] = []

    @property
    def sequences(self) -> list[TokenSequence]:
        """Return all sequences that are not finished."""
        return [active.sequence for active in self._active]

    def join(self, sequences: list[TokenSequence]) -> None:
        """Add sequences."""
        for sequence in sequences:
            key = sequence.adapter
            model = self._model if key is None else self._adapters.peft_model(key)
            answer = PlainAnswer(model, sequence.prompt_ids, sequence.max_new_tokens)
            self._active.append(_ActiveSequence(sequence, answer))

    def step(self) -> bool:
        """Decode one token of every sequence, or of the first one only; return whether any is left."""
        # PEFT's model applies the adapter here; the hooks on the base must not apply one as well.
        self._adapters.set_rows([])
        self._active = [active for active in self._active if not active.sequence.is_cancelled()]
        now = self._active if self._can_interleave else self._active[:1]
        later = self._active[len(now) :]
        self._active = [*(active for active in now if self._advance(active)), *later]
        return bool(self._active)

    def clear(self) -> None:
        """Drop all sequences."""
        self._active = []

    @staticmethod
    def _advance(active: _ActiveSequence) -> bool:
        """Decode one token; return whether the sequence continues."""
        sequence = active.sequence
        logits = active.answer.next(active.last)  # (vocabulary,)
        if sequence.on_argmax:
            active.last = sequence.on_argmax(int(most_likely(logits)))
        else:
            active.last = sequence.on_logits(logits)
        return active.last is not None
