"""Likelihood lens: the loss of every token of the answers, under the lane that wrote them and all others.

    lens.jsonl    one flushed line per answer: prompt, lane, tokens, losses, cut, note

`tokens` are the texts of the answer's tokens, and `losses` one list per lane: −log p(token | all tokens before it) in
nats, as `core.chat.forward` computes it. The lanes read the answer after the same turns that it was written after;
the tokens are those that training on this answer would compute its loss on, so the last one is the end token. A lane
whose chat template splits the answer into other tokens has null, and `note` gives the reason. The forgetting guard's
probes are left out.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.chat.types import LaneRequest
from core.data.tokens import IGNORE_INDEX, Rendered
from core.evaluate.answers_file import AnswerReader
from core.evaluate.likelihood import render_answer, rendering_key
from core.evaluate.line_file import Line, LineReader
from core.evaluate.prompts import PromptSource
from core.evaluate.reading_speed import ReadingSpeed

if TYPE_CHECKING:
    from core.chat.forward import TargetText
    from core.chat.lanes import Lanes

# Answers that are rendered at once. Texts of similar length are put into one batch, so a window holds many.
_WINDOW_ANSWERS = 512
# Decimals of a loss in the file: sums over an answer stay exact to 1e-4.
_DECIMALS = 7
_HEAD = re.compile(rb'\{"prompt": (\d+), "lane": (\d+), ')
OTHER_TEMPLATE = "its chat template splits this answer into other tokens."


class LensReader(LineReader):
    """An index of a growing lens.jsonl, which parses only the beginning of each line: lines are long."""

    def _parse(self, line: bytes) -> Line:
        head = _HEAD.match(line)
        if head is None or not line.endswith(b"}\n"):
            raise ValueError("it is no line of lens.jsonl")
        return {"prompt": int(head[1]), "lane": int(head[2])}


@dataclass
class AnswerLosses:
    """Computation of the lines that are still missing.

    Attributes:
        lanes: The loaded base and adapters.
        requests: The request of each lane, without its messages.
        prompts: The prompts.
        answers: All answers.
        speed: Speed of the computation that runs.
    """

    lanes: "Lanes"
    requests: list[LaneRequest]
    prompts: PromptSource
    answers: AnswerReader
    speed: ReadingSpeed = field(default_factory=lambda: ReadingSpeed(0), init=False)

    def list_missing(self, done: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the (prompt, lane) pairs of answers that have no line yet, in the order of the prompts."""
        done = set(done)
        read = {index for index, prompt in enumerate(self.prompts) if prompt.probe is None}
        return sorted(pair for pair in self.answers.offsets if pair[0] in read and pair not in done)

    def compute(self, missing: list[tuple[int, int]], may_continue: Callable[[], bool]) -> Iterator[list[Line]]:
        """Yield lines as soon as all lanes have read their answers.

        Args:
            missing: The answers, as `list_missing` returns them.
            may_continue: Asked before each batch; once it is false, nothing more is computed.
        """
        self.speed = ReadingSpeed(len(missing))
        for start in range(0, len(missing), _WINDOW_ANSWERS):
            if not may_continue():
                return
            yield from self._compute_window(missing[start : start + _WINDOW_ANSWERS], may_continue)

    def _compute_window(self, window: list[tuple[int, int]], may_continue: Callable[[], bool]) -> Iterator[list[Line]]:
        from core.chat.forward import token_losses

        # By answer: its line, and how many lanes still have to read it.
        lines: dict[tuple[int, int], Line] = {}
        waiting: dict[tuple[int, int], int] = {}
        keys, texts = [], []
        for pair in window:
            lines[pair], readers = self._prepare(*pair)
            waiting[pair] = len(readers)
            keys += [(pair, lane) for lane in readers]
            texts += readers.values()
        self.speed.add_window(len(window), sum(len(text.ids) for text in texts))
        yield [lines[pair] for pair, count in waiting.items() if not count]
        for batch in token_losses(self.lanes, texts):
            self.speed.add_read(sum(len(texts[at].ids) for at, _ in batch))
            complete = []
            for at, losses in batch:
                pair, lane = keys[at]
                lines[pair]["losses"][lane] = [round(float(loss), _DECIMALS) for loss in losses]
                waiting[pair] -= 1
                if not waiting[pair]:
                    complete.append(lines[pair])
            yield complete
            if not may_continue():
                return

    def _prepare(self, prompt: int, lane: int) -> tuple[Line, dict[int, "TargetText"]]:
        """Return the line of an answer without its losses, and the text that each lane reads."""
        from core.chat.forward import TargetText

        line: Line = {"prompt": prompt, "lane": lane, "tokens": [], "losses": [None] * len(self.requests)}
        written = self.answers.read(prompt)[lane]
        if written["end"] == "failed" or not written["text"]:
            return line | {"cut": False, "note": "there is no text."}, {}
        own = self._render(prompt, written["text"], lane)
        if isinstance(own, str):
            return line | {"cut": False, "note": own}, {}
        targets = _targets(own)
        line |= {
            "tokens": [own.text[start:end] for (start, end), label in _labeled(own) if label != IGNORE_INDEX],
            "cut": own.is_truncated and own.labels[-1] != IGNORE_INDEX,
            "note": "",
        }
        readers, rendered = {}, {rendering_key(self.requests[lane]): own}
        for reader, request in enumerate(self.requests):
            key = rendering_key(request)
            if key not in rendered:
                rendered[key] = self._render(prompt, written["text"], reader)
            found = rendered[key]
            if isinstance(found, str) or _targets(found) != targets:
                line["note"] = found if isinstance(found, str) else OTHER_TEMPLATE
                continue
            readers[reader] = TargetText(found.input_ids, found.labels, request.adapter)
        return line, readers

    def _render(self, prompt: int, text: str, reader: int) -> Rendered | str:
        return render_answer(self.lanes, self.prompts[prompt], self.requests[reader], text, "answer")


def _labeled(rendered: Rendered) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield offsets and label of each token that another one precedes: nothing predicts the first."""
    return zip(rendered.offsets[1:], rendered.labels[1:], strict=True)


def _targets(rendered: Rendered) -> list[int]:
    """Return the tokens that have a loss."""
    return [label for _, label in _labeled(rendered) if label != IGNORE_INDEX]
