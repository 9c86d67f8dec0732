"""Index of answers.jsonl, with the metrics that are shown while answers are still being written."""

from typing import ClassVar

from core.evaluate.line_file import Line, LineReader
from core.evaluate.metrics.running import LaneMetrics, LaneValues, values_of

FILE = "answers.jsonl"


class AnswerReader(LineReader):
    """An index of a growing answers file; threads may share it.

    Attributes:
        answered: Number of answers of each lane.
        metrics: Running metrics of each lane, over the finished prompts: on other prompts the lanes would not be
            comparable.
        finished: Prompts that every lane has answered, in the order in which they were finished.
    """

    FIELDS: ClassVar[dict[str, tuple[type, ...]]] = {"text": (str,), "tokens": (int,), "end": (str,)}

    def _reset(self) -> None:
        super()._reset()
        self.answered = [0] * self._lanes
        self.metrics = [LaneMetrics() for _ in range(self._lanes)]
        self.finished: list[int] = []
        # Values of the prompts that some lanes have not answered yet, by prompt and lane.
        self._waiting: dict[int, dict[int, LaneValues]] = {}

    def _take(self, line: Line) -> None:
        prompt, lane = line["prompt"], line["lane"]
        self.answered[lane] += 1
        values = self._waiting.setdefault(prompt, {})
        values[lane] = values_of(line)
        if len(values) == self._lanes:
            self.finished.append(prompt)
            for other, found in self._waiting.pop(prompt).items():
                self.metrics[other].add(found)
