"""Lanes: the base and its adapters answer side by side, as rows of one batch, each with its own end.

Each lane has its own random numbers from its own seed, so that two lanes of the same model with the same settings give
the same text.
"""

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from core.chat import probe, trimming
from core.chat.adapters import RowAdapters, read_adapter
from core.chat.cuda import support as fast_choice
from core.chat.decoder import Decoder, TokenSequence
from core.chat.plain import PlainDecoder
from core.chat.routing import RoutedDecoder
from core.chat.sampler import TokenSampler
from core.chat.stops import Stops
from core.chat.types import Lane, LaneAnswer
from core.data.formats import Message
from core.data.tokens import Renderer, TemplateError, TemplateName
from core.errors import StudioError
from core.models import support
from core.models.loading import LoadedBase
from core.models.tokenizer import padding_id

if TYPE_CHECKING:
    from core.chat.cuda.runtime import CudaRuntime


class Lanes:
    """Lanes over one loaded base model.

    Attributes:
        unbatched_reason: why no rows may decode in one batch; empty when they may.
    """

    def __init__(self, base: LoadedBase, fast: bool = True):
        """
        Args:
            fast: decode with the graphs and kernels of `core.chat.cuda` where they serve the model.
        """
        self.base = base
        self.model = base.model.eval()
        self.adapters = RowAdapters(self.model)
        reason = fast_choice.why_not(self.model) if fast else "it is switched off"
        self._machine, reason = (None, reason) if reason else _machine(self.model)
        way = f"by the model as it is, because {reason}" if reason else "by one CUDA graph a step, with our own kernels"
        self._vocabulary = self.model.get_input_embeddings().weight.shape[0]
        self._pad = padding_id(base.tokenizer, self._vocabulary)
        # The fast decoder serves only models of Llama's shape, which the batched one is right for as well.
        self.unbatched_reason = "" if self._machine else probe.decoder_failure(self.model, self._pad)
        self._takes_turns = not self.unbatched_reason or probe.takes_turns(self.model)
        if self.unbatched_reason:
            way = f"one at a time by transformers' generate, because {self.unbatched_reason}"
        self._way = f"Answers are decoded {way}."
        self._length_limit = support.length_limit(self.model.config)
        self._renderers: dict[TemplateName, Renderer] = {}
        self._eos = _end_tokens(base)

    @property
    def has_paged_cache(self) -> bool:
        """Whether keys and values lie in pages (`core.chat.cuda.paged_kv_cache`)."""
        return self._machine is not None

    @property
    def decoding_note(self) -> str:
        """How answers are decoded, and why so, in words."""
        said = [self._way]
        if self._length_limit and not self.unbatched_reason:
            said.append(
                f"Answers that may pass {self._length_limit:,} tokens are decoded one at a time: there the model's "
                "positions depend on the length of the text."
            )
        for key in self.adapters:
            if (reason := self.adapters.apart(key)) and reason != self.unbatched_reason:
                said.append(f"Answers of {key} are decoded one at a time by PEFT, because {reason}.")
        return " ".join(said)

    def add_adapter(self, key: str, folder: Path) -> None:
        """Read an adapter and make it ready for lanes.

        Raises:
            StudioError: it cannot be applied to this base.
        """
        self.adapters.add(key, read_adapter(folder, self.model.dtype, self.model.device), self.unbatched_reason)

    def decoder(self, waits: bool = True) -> RoutedDecoder:
        """Return a decoder without rows. On a GPU all share their caches: a new one drops the rows of the one before.

        Args:
            waits: whether a reader waits for the next word, so prompts are read in small chunks between two of them.
        """
        if self._machine is not None:
            from core.chat.cuda.decoder import CHUNK, OFFLINE_CHUNK_TOKENS, CudaDecoder

            together = CudaDecoder(self._machine, self.adapters, self._pad, CHUNK if waits else OFFLINE_CHUNK_TOKENS)
        else:
            together = Decoder(self.model, self.adapters, self._pad)
        return RoutedDecoder(together, PlainDecoder(self.model, self.adapters, self._takes_turns), self._is_plain)

    def _is_plain(self, row: TokenSequence) -> bool:
        """Return whether a row must be decoded by itself."""
        if self.unbatched_reason or (row.adapter is not None and self.adapters.apart(row.adapter)):
            return True
        return self._length_limit is not None and (
            not row.max_new_tokens or len(row.prompt_ids) + row.max_new_tokens > self._length_limit
        )

    def renderer(self, template: TemplateName = "auto") -> Renderer:
        if template not in self._renderers:
            self._renderers[template] = Renderer(self.base.tokenizer, template, self._vocabulary)
        return self._renderers[template]

    def context_length(self) -> int | None:
        """Return how many tokens the model can read, question and answer together; None where nothing limits it."""
        return support.context_of(self.model.config)

    def bytes_per_token(self) -> int:
        """Return what the keys and values of one token of one row take."""
        return support.bytes_per_token(self.model.config, self.model.dtype.itemsize)

    def sequence(self, lane: Lane, answer: LaneAnswer, stopped: Callable[[], bool] = lambda: False) -> TokenSequence:
        """The row that writes `answer` as a lane asks for it.

        Raises:
            StudioError: the question and its answer do not fit the model's context, even alone.
        """
        prompt, notes = self.render_prompt(lane)
        answer.note = " ".join(notes)
        writer = _Writer(self, lane, answer, prompt)
        return TokenSequence(
            [*prompt, *lane.begun], lane.adapter, writer.take, lambda: bool(answer.end) or writer.ends(stopped),
            sampler=writer.sampler, on_token=writer.on_token, max_new_tokens=lane.sampling.max_new_tokens,
        )  # fmt: skip

    def render_prompt(self, lane: Lane) -> tuple[list[int], list[str]]:
        """Return the tokens of a conversation, and notes on what was done to it so that it fits.

        Raises:
            StudioError: not even its last question fits, or the template refuses it.
        """

        def render(messages: list[Message]) -> list[int]:
            return self._prompt_ids(lane, messages)

        context = self.context_length()
        room = None if context is None else context - lane.sampling.max_new_tokens - len(lane.begun)
        return trimming.prompt(lane.messages, lane.sampling, render, room, context)

    def _prompt_ids(self, lane: Lane, messages: list[Message]) -> list[int]:
        try:
            return self.renderer(lane.template).prompt_ids(messages)
        except TemplateError as error:
            raise StudioError(
                f"The model cannot be asked this: {error}. Change the system prompt or the turns, or choose another "
                "chat template."
            ) from error

    def generate(self, lanes: list[Lane], stopped: Callable[[], bool] = lambda: False) -> Iterator[list[LaneAnswer]]:
        """Answer in all lanes together; yields after every token.

        Raises:
            StudioError: a question and its answer do not fit the model's context.
        """
        answers = [LaneAnswer() for _ in lanes]
        decoder = self.decoder()
        decoder.join([self.sequence(lane, answer, stopped) for lane, answer in zip(lanes, answers, strict=True)])
        while decoder.step():
            yield answers
        yield answers

    def stop_conditions(self, lane: Lane) -> Stops:
        """Return what ends an answer of a lane."""
        return Stops(self.base.tokenizer, self._eos, self.renderer(lane.template).end_tokens, lane.sampling.stop_words)


class _Writer:
    """Turns a lane's logits into its answer."""

    def __init__(self, lanes: Lanes, lane: Lane, answer: LaneAnswer, prompt: list[int]):
        self._sampling, self._answer = lane.sampling, answer
        self.sampler = TokenSampler(lane.sampling, [*prompt, *lane.begun])
        self._tokenizer, self._stops = lanes.base.tokenizer, lanes.stop_conditions(lane)
        self._began = time.perf_counter()
        answer.ids = list(lane.begun)
        answer.text = self._tokenizer.decode(answer.ids, skip_special_tokens=True) if lane.begun else ""
        answer.tokens = answer.continued = len(lane.begun)

    def take(self, logits: torch.Tensor) -> int | None:
        return self._kept(lambda: self._taken(*self.sampler.sample(logits)))

    def on_token(self, token: int, logprob: float) -> int | None:
        """As `take`, when the token is picked already."""
        return self._kept(lambda: self._taken(token, logprob))

    def _kept(self, taken: Callable[[], int | None]) -> int | None:
        try:
            return taken()
        except Exception as error:  # of this row alone: those beside it go on
            self._answer.error, self._answer.end = error, "failed"
            return None

    def _taken(self, token: int, logprob: float) -> int | None:
        answer = self._answer
        answer.seconds = time.perf_counter() - self._began
        answer.first_token_seconds = answer.first_token_seconds or answer.seconds
        answer.end = self._stops.at_token(token)
        if not answer.end:
            self._add(token, logprob)
        # a character of several tokens shows as U+FFFD until its last token is there
        answer.text = answer.text if answer.end == "end" else answer.text.rstrip("\ufffd")
        return None if answer.end else token

    def _add(self, token: int, logprob: float) -> None:
        answer, before = self._answer, self._answer.text
        answer.ids.append(token)
        answer.logprobs.append(logprob)
        answer.tokens += 1
        answer.text = self._tokenizer.decode(answer.ids, skip_special_tokens=True)
        answer.pieces.append(
            answer.text.removeprefix(before).rstrip("\ufffd") if answer.text.startswith(before) else ""
        )
        answer.end, answer.text = self._stops.in_text(answer.ids, answer.text)
        if not answer.end and answer.tokens - answer.continued >= self._sampling.max_new_tokens:
            answer.end = "length"

    def ends(self, stopped: Callable[[], bool]) -> bool:
        if stopped():
            self._answer.end = "stopped"
        return bool(self._answer.end)


def _machine(model: torch.nn.Module) -> tuple["CudaRuntime | None", str]:
    """What decodes a model on a GPU, or why it cannot be had."""
    from core.chat.cuda.runtime import CudaRuntime

    try:
        return CudaRuntime(model), ""
    except Exception as error:  # kernels that do not compile on this machine: the model itself answers as well
        traceback.print_exc(file=sys.stderr)
        return None, f"its kernels could not be made ready on this machine ({type(error).__name__})"


def _end_tokens(base: LoadedBase) -> set[int]:
    configured = base.model.generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    return {token for token in ends | {base.tokenizer.eos_token_id} if token is not None}
