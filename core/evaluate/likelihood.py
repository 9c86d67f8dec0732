"""Loss of the reference answers under every lane: how likely each model finds the answer that the data has.

    losses.jsonl    one flushed line per prompt with a reference and lane: prompt, lane, nll, tokens, cut, note

`nll` is the sum of the negative log-likelihoods of the answer's tokens, in nats, and `tokens` their number; they are
the tokens that training computes its loss on (`core.data.tokens`), of the reference alone. A reference that does not
fit into the model's context is cut there. If nothing of it is left, or the chat template refuses it, `nll` is null and
`note` gives the reason.
"""

import itertools
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from core.chat.trimming import split_system
from core.chat.types import LaneRequest
from core.data.tokens import IGNORE_INDEX, Rendered, TemplateError
from core.evaluate.line_file import Line, LineReader
from core.evaluate.prompts import Prompt, PromptSource
from core.evaluate.reading_speed import ReadingSpeed
from core.system.counting import counted

if TYPE_CHECKING:
    from core.chat.lanes import Lanes

# Prompts that are rendered at once. Texts of similar length are put into one batch, so a window holds many.
_WINDOW_PROMPTS = 512


class LossReader(LineReader):
    """An index of a growing file of losses.

    Attributes:
        sums: Sum of the losses in nats and number of tokens, by (prompt, lane); only of references that have a loss.
        cut: Number of references that were cut at the model's context, by lane.
        problems: Why a reference has no loss, with the number of lines.
    """

    # A line with a loss needs no note.
    FIELDS: ClassVar[dict[str, tuple[type, ...]]] = {
        "nll": (float, int, type(None)), "tokens": (int,), "cut": (bool,),
    }  # fmt: skip

    def _reset(self) -> None:
        super()._reset()
        self.sums: dict[tuple[int, int], tuple[float, int]] = {}
        self.cut = [0] * self._lanes
        self.problems: dict[str, int] = {}

    def _take(self, line: Line) -> None:
        if line["nll"] is None:
            note = str(line.get("note", "its reason was not written."))
            self.problems[note] = self.problems.get(note, 0) + 1
            return
        self.sums[line["prompt"], line["lane"]] = line["nll"], line["tokens"]
        self.cut[line["lane"]] += line["cut"]

    def notes(self) -> list[str]:
        """Return sentences about references that were cut or have no loss."""
        notes = []
        if cut := max(self.cut, default=0):
            notes.append(
                f"{counted(cut, 'reference is', 'references are')} cut at the model's context; the loss is that of the "
                "beginning."
            )
        return notes + [
            f"{counted(count, 'loss is', 'losses are')} missing: {reason}" for reason, count in self.problems.items()
        ]


@dataclass
class ReferenceLosses:
    """Computation of the losses that are still missing.

    Attributes:
        lanes: The loaded base and adapters.
        requests: The request of each lane, without its messages.
        prompts: The prompts with their references; anything that has them by index and in their order.
        rows: Number of prompts whose references are read, evenly spread; 0 for all.
        speed: Speed of the computation that runs.
    """

    lanes: "Lanes"
    requests: list[LaneRequest]
    prompts: PromptSource
    rows: int = 0
    speed: ReadingSpeed = field(default_factory=lambda: ReadingSpeed(0), init=False)

    def list_missing(self, done: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the (prompt, lane) pairs with a reference that have no line yet, in the order of the prompts."""
        done = set(done)
        lanes = range(len(self.requests))
        with_reference = [index for index, prompt in enumerate(self.prompts) if prompt.reference.strip()]
        chosen = spread_evenly(with_reference, self.rows)
        return [(index, lane) for index in chosen for lane in lanes if (index, lane) not in done]

    def compute(self, missing: list[tuple[int, int]], may_continue: Callable[[], bool]) -> Iterator[list[Line]]:
        """Yield the lines of each batch.

        Args:
            missing: The pairs to compute, as `list_missing` returns them.
            may_continue: Asked before each batch; once it is false, nothing more is computed.
        """
        size, self.speed = _WINDOW_PROMPTS * len(self.requests), ReadingSpeed(len(missing))
        for start in range(0, len(missing), size):
            if not may_continue():
                return
            yield from self._compute_window(missing[start : start + size], may_continue)

    def _compute_window(self, window: list[tuple[int, int]], may_continue: Callable[[], bool]) -> Iterator[list[Line]]:
        from core.chat.forward import TargetText, token_losses

        keys, texts, cut, failures = [], [], [], []
        for index, pairs in itertools.groupby(window, key=lambda pair: pair[0]):
            prompt = self.prompts[index]
            # Lanes with the same template and system prompt read the same text, which is rendered once.
            rendered: dict[tuple[str, str], Rendered | str] = {}
            for _, lane in pairs:
                request = self.requests[lane]
                key = rendering_key(request)
                if key not in rendered:
                    rendered[key] = render_answer(self.lanes, prompt, request, prompt.reference)
                if isinstance(found := rendered[key], str):
                    failures.append(_make_line(index, lane, None, 0, note=found))
                    continue
                keys.append((index, lane))
                texts.append(TargetText(found.input_ids, found.labels, request.adapter))
                cut.append(found.is_truncated and found.labels[-1] != IGNORE_INDEX)
        self.speed.add_window(len(window), sum(len(text.ids) for text in texts))
        yield failures
        for batch in token_losses(self.lanes, texts):
            self.speed.add_read(sum(len(texts[at].ids) for at, _ in batch))
            yield [_make_line(*keys[at], float(losses.sum()), len(losses), cut[at]) for at, losses in batch]
            if not may_continue():
                return


def spread_evenly(items: list[int], count: int) -> list[int]:
    """Return `count` items at equal distances; all items if they are fewer, or if `count` is 0."""
    if not count or count >= len(items):
        return items
    return [items[at * len(items) // count] for at in range(count)]


def rendering_key(request: LaneRequest) -> tuple[str, str]:
    """Return what decides how a conversation is rendered, so that lanes that share it share the rendering."""
    return request.template, request.sampling.system


def render_answer(
    lanes: "Lanes", prompt: Prompt, request: LaneRequest, answer: str, name: str = "reference"
) -> Rendered | str:
    """Return a conversation with its answer, of which only the answer carries loss; or why it cannot be rendered.

    Args:
        lanes: The loaded base and adapters.
        prompt: The prompt.
        request: The request of the lane that reads it.
        answer: The answer.
        name: A word for the answer in the reasons.
    """
    system, turns, _ = split_system(prompt.messages, request.sampling)
    messages = [
        *system,
        *(turn | {"loss": False} if turn["role"] == "assistant" else turn for turn in turns),
        {"role": "assistant", "content": answer},
    ]
    context = lanes.context_length()
    try:
        rendered = lanes.renderer(request.template).render(messages, context)
    except TemplateError as error:
        return f"the chat template refuses the conversation with its {name} ({error})."
    except Exception as error:
        # A chat template is foreign code that may raise anything; one bad prompt must not end the evaluation.
        traceback.print_exc(file=sys.stderr)
        return f"the conversation with its {name} could not be rendered ({type(error).__name__}: {error})."
    if rendered.loss_tokens:
        return rendered
    if rendered.is_truncated:
        return f"the conversation before the {name} fills the model's context of {context:,} tokens."
    return f"no token of the {name} carries loss."


def _make_line(prompt: int, lane: int, nll: float | None, tokens: int, is_cut: bool = False, note: str = "") -> Line:
    return {"prompt": prompt, "lane": lane, "nll": nll, "tokens": tokens, "cut": is_cut, "note": note}
