"""The plain path: each row by itself through transformers' own `generate`, a token at a time.

`generate` prepares the model's inputs and its cache, whatever kind it is, and hands its loop to `_stream`, which stops
after every token. Rows of an adapter run through PEFT's model of it. Rows take turns, so all of them advance, but no
two share a product: this path is slower, and right for every model that `generate` is right for. Where the modules
themselves keep the state of a text, one row is written to its end before the next begins.
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

_ENDLESS = 1 << 20  # tokens of an answer whose length is not known
_ROTARY_STATE = ("inv_freq", "max_seq_len_cached", "attention_scaling")

Stream = Generator[torch.Tensor, int, None]


def _stream(
    model: Any, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any, generation_config: Any,
    **model_kwargs: Any,
) -> Stream:  # fmt: skip
    """Run the loop of `GenerationMixin._sample`, yielding logits (vocabulary,) and taking the next token."""
    outputs = model._prefill(input_ids, generation_config, model_kwargs)
    while True:
        model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs, is_encoder_decoder=False)
        token = yield outputs.logits[0, -1]
        input_ids = torch.cat([input_ids, input_ids.new_tensor([[token]])], dim=1)
        step = 1 if model_kwargs["use_cache"] else None
        inputs = model.prepare_inputs_for_generation(input_ids, next_sequence_length=step, **model_kwargs)
        outputs = model(**inputs, return_dict=True)


class PlainAnswer:
    """One text that a model, or PEFT's model of an adapter, continues token by token."""

    def __init__(self, model: torch.nn.Module | PeftModel, ids: list[int], most: int = 0):
        self._tuned = model if isinstance(model, PeftModel) else None
        self._model = model.get_base_model() if self._tuned is not None else model
        self._ids, self._most = torch.tensor([ids], device=self._model.device), most or _ENDLESS
        self._generator: Stream | None = None
        self._rotary = RotaryState(self._model)
        self._offsets: Any = None

    @torch.no_grad()
    def next(self, token: int | None = None) -> torch.Tensor:
        """Return the logits (vocabulary,) after a token, or after the prompt when none is given."""
        with self._rotary, self._alora():
            if self._generator is None:
                self._generator = self._model.generate(
                    self._ids, attention_mask=torch.ones_like(self._ids), custom_generate=_stream, use_cache=True,
                    max_new_tokens=self._most, do_sample=False, num_beams=1, return_dict_in_generate=False,
                )  # fmt: skip
                return next(self._generator)
            return self._generator.send(token)

    def _alora(self) -> contextlib.AbstractContextManager:
        """PEFT's hooks for adapters that begin at invocation tokens, as `PeftModel.generate` sets them."""
        if self._tuned is None:
            return contextlib.nullcontext()
        if self._offsets is None:
            self._offsets = get_alora_offsets_for_generate(self._tuned, input_ids=self._ids)
        return self._tuned._enable_peft_forward_hooks(**self._offsets)


class RotaryState:
    """The state of rotary embeddings that depend on the length, as one text alone would leave it.

    Entering puts this text's state in place, first the one of a fresh model; leaving takes it away again, so that no
    text sees how long another one was.
    """

    def __init__(self, model: torch.nn.Module):
        self._modules = [module for module in model.modules() if hasattr(module, "rope_type")]
        self._modules = [module for module in self._modules if any("inv_freq" in key for key in module._buffers)]
        self._mine: list[dict[str, Any]] | None = None
        self._others: list[dict[str, Any]] = []

    def __enter__(self) -> None:
        self._others = [_taken(module) for module in self._modules]
        fresh = [_fresh(module, state) for module, state in zip(self._modules, self._others, strict=True)]
        self._put(self._mine or fresh)

    def __exit__(self, *error: object) -> None:
        self._mine = [_taken(module) for module in self._modules]
        self._put(self._others)

    def _put(self, states: list[dict[str, Any]]) -> None:
        for module, state in zip(self._modules, states, strict=True):
            for name, value in state.items():
                setattr(module, name, value)


def _taken(module: torch.nn.Module) -> dict[str, Any]:
    """Return what a rotary embedding may rewrite while it runs."""
    names = [*module._buffers, *vars(module)]
    return {
        name: value.clone() if isinstance(value := getattr(module, name), torch.Tensor) else value
        for name in names
        if name.endswith(_ROTARY_STATE) and "original" not in name and "long" not in name
    }


def _fresh(module: torch.nn.Module, state: dict[str, Any]) -> dict[str, Any]:
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
class _Turn:
    """A row with its text. Attributes: last: the token it goes on with; None before the first."""

    row: TokenSequence
    answer: PlainAnswer
    last: int | None = field(default=None)


class PlainDecoder:
    """Steps through rows one after the other; the same protocol as `core.chat.decoder.Decoder`."""

    def __init__(self, model: torch.nn.Module, adapters: RowAdapters, takes_turns: bool = True):
        """
        Args:
            takes_turns: every row advances in each step; otherwise only the first does, until it ends.
        """
        self._model, self._adapters, self._takes_turns = model, adapters, takes_turns
        self._turns: list[_Turn] = []

    @property
    def sequences(self) -> list[TokenSequence]:
        return [turn.row for turn in self._turns]

    def join(self, rows: list[TokenSequence]) -> None:
        """Let rows begin."""
        for row in rows:
            model = self._model if row.adapter is None else self._adapters.tuned(row.adapter)
            self._turns.append(_Turn(row, PlainAnswer(model, row.prompt_ids, row.max_new_tokens)))

    def step(self) -> bool:
        """Write a token of every row that has its turn; return whether any row is left."""
        self._adapters.set_rows([])
        self._turns = [turn for turn in self._turns if not turn.row.is_cancelled()]
        now = self._turns if self._takes_turns else self._turns[:1]
        later = self._turns[len(now) :]
        self._turns = [*(turn for turn in now if self._advance(turn)), *later]
        return bool(self._turns)

    def clear(self) -> None:
        """Drop every row."""
        self._turns = []

    @staticmethod
    def _advance(turn: _Turn) -> bool:
        """Write one token of a row; return whether it goes on."""
        row = turn.row
        logits = turn.answer.next(turn.last)
        turn.last = row.on_argmax(int(logits.argmax())) if row.on_argmax else row.on_logits(logits)
        return turn.last is not None
