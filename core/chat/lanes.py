"""Lanes over one loaded base model: the base and its adapters answer side by side, as sequences of one batch.

`Lanes` renders prompts, knows the model's end tokens and limits, and chooses how its sequences are decoded:

- by CUDA graphs (`core.chat.cuda`) where a GPU and the model allow it;
- by the batched PyTorch decoder (`core.chat.decoder`) where a probe has shown that a batch gives the right logits;
- one at a time by transformers' generate (`core.chat.plain`) for everything else.

Each lane has a random generator that its settings seed: two lanes with the same model and settings give the same text.
"""

import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.chat import probe, trimming
from core.chat.adapters import RowAdapters, read_adapter
from core.chat.cuda import support as cuda_support
from core.chat.decoder import OFFLINE_GROUP_TOKENS, Decoder, TokenSequence
from core.chat.generation_writer import GenerationWriter
from core.chat.plain import PlainDecoder
from core.chat.routing import RoutedDecoder
from core.chat.sampler import TokenSampler
from core.chat.stops import NO_ENDS, StopConditions
from core.chat.token_callbacks import make_callbacks
from core.chat.types import Generation, LaneRequest, Prompt
from core.chat.whole_prompt import read_whole
from core.data.formats import Message
from core.data.tokens import Renderer, TemplateError, TemplateName
from core.errors import StudioError
from core.models import support
from core.models.loading import LoadedBase
from core.models.shape import cache_bytes_per_token
from core.models.tokenizer import padding_id

if TYPE_CHECKING:
    from core.chat.cuda.runtime import CudaRuntime

_SWITCHED_OFF = "the CUDA decoder is switched off (STUDIO_FAST_CHAT=0)"


class Lanes:
    """Lanes over one loaded base model.

    Attributes:
        base: The model with its tokenizer.
        adapters: The adapters that were added, by key.
        unbatched_reason: Why no two sequences may share a batch, as the rest of a sentence; empty if they may.
    """

    def __init__(self, base: LoadedBase, fast: bool = True):
        """Choose the decoder of a model, and prepare it.

        Args:
            base: The loaded model. The values of its weights do not change; on a GPU the weights become views of merged
                ones, and adapters add hooks.
            fast: Whether to use the CUDA decoder where it supports the model.
        """
        self.base = base
        self.model = base.model.eval()
        self.adapters = RowAdapters(self.model)
        self._vocabulary = self.model.get_input_embeddings().weight.shape[0]
        self._pad = padding_id(base.tokenizer, self._vocabulary)
        self._runtime, slow_reason = self._cuda_runtime() if fast else (None, _SWITCHED_OFF)
        # The CUDA decoder supports only models of Llama's architecture, for which batches are known to be right.
        self.unbatched_reason = "" if self._runtime else probe.decoder_failure(self.model, self._pad)
        self._can_interleave = not self.unbatched_reason or probe.can_interleave(self.model)
        self._decoder_note = self._describe_decoder(slow_reason)
        self._length_limit = support.length_limit(self.model.config)
        self._renderers: dict[TemplateName, Renderer] = {}
        self._eos = _end_tokens(base)

    @property
    def has_paged_cache(self) -> bool:
        """Return whether keys and values are in pages (`core.chat.cuda.paged_kv_cache`)."""
        return self._runtime is not None

    @property
    def decoding_note(self) -> str:
        """Return how answers are decoded and why, as sentences for the page."""
        notes = [self._decoder_note]
        if self._length_limit and not self.unbatched_reason:
            notes.append(
                f"Answers that may exceed {self._length_limit:,} tokens are decoded one at a time: beyond that length "
                "the model's rotary positions depend on the length of the text."
            )
        for key in self.adapters:
            if (reason := self.adapters.unbatched_reason(key)) and reason != self.unbatched_reason:
                notes.append(f"Answers of {key} are decoded one at a time by PEFT, because {reason}.")
        return " ".join(notes)

    def add_adapter(self, key: str, folder: Path) -> None:
        """Read an adapter, and prepare it for lanes.

        Raises:
            StudioError: The adapter cannot be applied to this base.
        """
        self.adapters.add(key, read_adapter(folder, self.model.dtype, self.model.device), self.unbatched_reason)

    def decoder(self, is_interactive: bool = True) -> RoutedDecoder:
        """Return a decoder without sequences.

        On a GPU all decoders of a model share its caches: a new decoder drops the sequences of the one before.

        Args:
            is_interactive: Whether a user waits: a GPU reads smaller chunks of prompts then, and a CPU all lanes'
                prompts together.
        """
        if self._runtime is not None:
            from core.chat.cuda.decoder import CHUNK_TOKENS, OFFLINE_CHUNK_TOKENS, CudaDecoder

            chunk = CHUNK_TOKENS if is_interactive else OFFLINE_CHUNK_TOKENS
            batched = CudaDecoder(self._runtime, self.adapters, self._pad, chunk)
        else:
            batched = Decoder(self.model, self.adapters, self._pad, group=OFFLINE_GROUP_TOKENS * (not is_interactive))
        plain = PlainDecoder(self.model, self.adapters, self._can_interleave)
        return RoutedDecoder(batched, plain, self._needs_plain_decoder)

    def renderer(self, template: TemplateName = "auto") -> Renderer:
        """Return the renderer of a chat template; it is made once."""
        if template not in self._renderers:
            self._renderers[template] = Renderer(self.base.tokenizer, template, self._vocabulary)
        return self._renderers[template]

    def context_length(self) -> int | None:
        """Return how many tokens the model can read, prompt and answer together; None if nothing limits them."""
        return support.context_of(self.model.config)

    def bytes_per_token(self) -> int:
        """Return the size of the keys and values of one token of one sequence, in bytes."""
        return cache_bytes_per_token(self.model.config, self.model.dtype.itemsize)

    def sequence(
        self,
        request: LaneRequest,
        prompt: Prompt,
        generation: Generation,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> TokenSequence:
        """Return the sequence that writes a lane's answer.

        Args:
            request: What the lane is asked.
            prompt: The same, rendered.
            generation: Where the answer is written to.
            is_stopped: Asked before every token; once it is true, the answer ends.
        """
        prompt_ids = prompt.ids
        generation.note = " ".join(prompt.notes)
        writer = self.writer(request, generation)
        sampler = TokenSampler(request.sampling, [*prompt_ids, *request.prefix_ids])

        top = request.program.top_logprobs if request.program else 0
        on_logits, on_token = make_callbacks(writer, sampler, generation, self.base.tokenizer, top)

        def is_cancelled() -> bool:
            if not generation.end and is_stopped():
                writer.finish("stopped")
            return bool(generation.end)

        return TokenSequence(
            [*prompt_ids, *request.prefix_ids],
            request.adapter,
            on_logits,
            is_cancelled,
            # The most likely tokens are read from the logits, which the CUDA decoder gives to `on_logits` alone.
            sampler=None if top else sampler,
            on_token=None if top else on_token,
            max_new_tokens=request.sampling.max_new_tokens,
        )

    def writer(self, request: LaneRequest, generation: Generation, is_streamed: bool = True) -> GenerationWriter:
        """Return what turns the tokens of a lane into its answer.

        Args:
            request: What the lane is asked.
            generation: Where the answer is written to.
            is_streamed: Whether the text is read while the answer is written.
        """
        return GenerationWriter(
            generation,
            self.base.tokenizer,
            self.stop_conditions(request),
            request.sampling.max_new_tokens,
            request.prefix_ids,
            is_streamed,
        )

    def stop_conditions(self, request: LaneRequest) -> StopConditions:
        """Return what ends an answer of a lane."""
        words, program = request.sampling.stop_words, request.program
        # Without a chat template, only the model itself ends a text.
        ends = NO_ENDS if program and program.is_raw else self.renderer(request.template).end_tokens
        return StopConditions(self.base.tokenizer, self._eos, ends, [*words, *(program.stop if program else ())])

    def render_prompt(self, request: LaneRequest) -> Prompt:
        """Render a conversation, shortened to fit.

        Raises:
            StudioError: Not even its last question fits, or the template refuses it.
        """
        context = self.context_length()
        most = context if request.program is not None else None

        def render(messages: list[Message]) -> list[int]:
            return self._prompt_ids(request, messages, most)

        if request.program is not None:
            return read_whole(request, self.base.tokenizer, self._vocabulary, render, context)
        answer_tokens = request.sampling.max_new_tokens + len(request.prefix_ids)
        limit = None if context is None else context - answer_tokens
        return Prompt(*trimming.fit_prompt(request.messages, request.sampling, render, limit, context))

    def generate(
        self, requests: list[LaneRequest], is_stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[list[Generation]]:
        """Answer in all lanes together, and yield the answers after every token.

        Args:
            requests: The lanes.
            is_stopped: Asked before every token; once it is true, all answers end.

        Raises:
            StudioError: A question and its answer exceed the model's context.
        """
        answers, prompts = [Generation() for _ in requests], [self.render_prompt(request) for request in requests]
        decoder, lanes = self.decoder(), zip(requests, prompts, answers, strict=True)
        decoder.join([self.sequence(request, prompt, answer, is_stopped) for request, prompt, answer in lanes])
        while decoder.step():
            yield answers
        yield answers

    def _cuda_runtime(self) -> tuple["CudaRuntime | None", str]:
        """Return the CUDA runtime of the model, or None and why there is none."""
        if reason := cuda_support.unsupported_reason(self.model):
            return None, reason
        from core.chat.cuda.runtime import CudaRuntime

        try:
            return CudaRuntime(self.model), ""
        except Exception as error:
            # Kernels may fail to compile on this machine. The PyTorch decoder answers as well, only slower.
            traceback.print_exc(file=sys.stderr)
            return None, f"the CUDA kernels could not be compiled on this machine ({type(error).__name__})"

    def _describe_decoder(self, slow_reason: str) -> str:
        if self.unbatched_reason:
            return f"Answers are decoded one at a time by transformers' generate, because {self.unbatched_reason}."
        if slow_reason:
            return f"Answers are decoded by the standard decoder, because {slow_reason}."
        return "Answers are decoded by one CUDA graph per step, with the studio's own kernels."

    def needs_own_pass(self, adapter: str | None, tokens: int | None) -> bool:
        """Return whether a text must run through the model by itself, since a batch would give other logits.

        Args:
            adapter: Key of the adapter; None for the base.
            tokens: Length of the text; None if it is not known.
        """
        if self.unbatched_reason or (adapter is not None and self.adapters.unbatched_reason(adapter)):
            return True
        return self._length_limit is not None and (tokens is None or tokens > self._length_limit)

    def _needs_plain_decoder(self, sequence: TokenSequence) -> bool:
        longest = len(sequence.prompt_ids) + sequence.max_new_tokens
        return self.needs_own_pass(sequence.adapter, longest if sequence.max_new_tokens else None)

    def _prompt_ids(self, request: LaneRequest, messages: list[Message], most: int | None) -> list[int]:
        try:
            return self.renderer(request.template).prompt_ids(messages, most)
        except TemplateError as error:
            raise StudioError(
                f"The chat template refuses this conversation: {error}. Change the system prompt or the turns, or "
                "choose another chat template."
            ) from error


def _end_tokens(base: LoadedBase) -> set[int]:
    configured = base.model.generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    return {token for token in ends | {base.tokenizer.eos_token_id} if token is not None}
