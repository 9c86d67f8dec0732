"""Lanes: the base and its adapters answer one prompt together, as rows of one batch, each with its own end.

Rows of unequal length are padded on the left, and masked; positions count from each row's first token. Each lane has
its own random numbers from the same seed, so that two lanes of the same model give the same text.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from transformers import DynamicCache

from core.chat.adapters import RowAdapters
from core.chat.sampling import Sampling
from core.data.formats import Message
from core.data.tokens import Renderer
from core.errors import StudioError
from core.models.loading import LoadedBase

End = Literal["", "end", "length", "stopped"]
END_WORDS: dict[str, str] = {
    "": "writing",
    "end": "ended by itself",
    "length": "cut at the length limit",
    "stopped": "stopped",
}


@dataclass
class LaneAnswer:
    """One lane's answer so far.

    Attributes:
        end: why it ended; empty while it is being written.
        first_token_seconds: from the call to the first token; 0 before that.
    """

    text: str = ""
    tokens: int = 0
    end: End = ""
    first_token_seconds: float = 0.0
    seconds: float = 0.0
    ids: list[int] = field(default_factory=list, repr=False)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


class Lanes:
    """Decodes several lanes over one loaded base model."""

    def __init__(self, base: LoadedBase):
        self.base = base
        self.model = base.model.eval()
        self.renderer = Renderer(base.tokenizer)
        self.adapters = RowAdapters(self.model)
        self._ends = _end_tokens(base)

    def context(self) -> int:
        return self.model.config.get_text_config().max_position_embeddings

    def answer(
        self,
        conversations: list[list[Message]],
        keys: list[str | None],
        sampling: Sampling,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[list[LaneAnswer]]:
        """Answer each conversation with its lane's adapter, all in one batch; yields after every token.

        Args:
            conversations: one a lane, each ending on a user turn.
            keys: the adapter of each lane, None for the base.
            stopped: asked once a token; when true, every lane ends as "stopped".

        Raises:
            StudioError: a prompt and its answer do not fit the model's context.
        """
        prompts = [self._prompt(conversation, sampling) for conversation in conversations]
        answers = [LaneAnswer() for _ in prompts]
        generators = [torch.Generator().manual_seed(sampling.seed) for _ in prompts]
        began = time.perf_counter()
        try:
            for live, logits in self._steps(prompts, keys, answers):
                for row, lane in enumerate(live):
                    self._take(answers[lane], pick(logits[row], sampling, generators[lane]), sampling, began)
                if stopped():
                    for answer in answers:
                        answer.end = answer.end or "stopped"
                yield answers
        finally:
            self.adapters.set_rows([])

    def _prompt(self, conversation: list[Message], sampling: Sampling) -> list[int]:
        system: list[Message] = [{"role": "system", "content": sampling.system}] if sampling.system.strip() else []
        ids = self.renderer.prompt_ids(system + conversation)
        if len(ids) + sampling.max_new_tokens > self.context():
            raise StudioError(
                f"The conversation has {len(ids)} tokens, and with an answer of up to {sampling.max_new_tokens} it "
                f"exceeds what the model can read ({self.context()}). Clear the conversation or lower the length."
            )
        return ids

    def _take(self, answer: LaneAnswer, token: int, sampling: Sampling, began: float) -> None:
        answer.seconds = time.perf_counter() - began
        answer.first_token_seconds = answer.first_token_seconds or answer.seconds
        if token in self._ends:
            answer.end = "end"
        else:
            answer.ids.append(token)
            answer.tokens += 1
            if answer.tokens >= sampling.max_new_tokens:
                answer.end = "length"
        text = self.base.tokenizer.decode(answer.ids, skip_special_tokens=True)
        # a character of several tokens shows as U+FFFD until its last token is there
        answer.text = text if answer.end else text.rstrip("\ufffd")

    @torch.inference_mode()
    def _steps(
        self, prompts: list[list[int]], keys: list[str | None], answers: list[LaneAnswer]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield (lanes still writing, their logits (rows, vocabulary)) until every answer has an end."""
        device = self.model.device
        longest = max(map(len, prompts))
        pad = self.base.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self.model.config)
        live = list(range(len(prompts)))
        while live:
            self.adapters.set_rows([keys[lane] for lane in live])
            out = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            yield live, out.logits[:, -1]
            kept = [row for row, lane in enumerate(live) if not answers[lane].end]
            if len(kept) < len(live):
                live = [live[row] for row in kept]
                if not live:
                    return
                rows = torch.tensor(kept, device=device)
                cache.batch_select_indices(rows)
                mask, positions = mask[rows], positions[rows]
            ids = torch.tensor([[answers[lane].ids[-1]] for lane in live], device=device)
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
            positions = positions[:, -1:] + 1


def _end_tokens(base: LoadedBase) -> set[int]:
    configured = base.model.generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    return {token for token in ends | {base.tokenizer.eos_token_id} if token is not None}


def pick(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token id from one row of logits (vocabulary,)."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        ordered, ids = probabilities.sort(descending=True)
        # a token stays when the tokens before it have not reached top_p yet, so the first always stays
        ordered[ordered.cumsum(0) - ordered >= sampling.top_p] = 0
        return int(ids[torch.multinomial(ordered, 1, generator=generator)])
    return int(torch.multinomial(probabilities, 1, generator=generator))
