"""Index of answers.jsonl, with the metrics that are shown while answers are still being written."""

from typing import ClassVar

from core.evaluate.line_file import Line, LineReader
from core.evaluate.metrics.running import LaneMetrics

FILE = "answers.jsonl"


class AnswerReader(LineReader):
    """An index of a growing answers file; threads may share it.

    Attributes:
        metrics: Running metrics of each lane.
        finished: Prompts that every lane has answered, in the order in which they were finished.
    """

    FIELDS: ClassVar[dict[str, tuple[type, ...]]] = {"text": (str,), "tokens": (int,), "end": (str,)}

    def _reset(self) -> None:
        super()._reset()
        self.metrics = [LaneMetrics() for _ in range(self._lanes)]
        self.finished: list[int] = []
        self._answered_lanes: dict[int, int] = {}

    def _take(self, line: Line) -> None:
        prompt, lane = line["prompt"], line["lane"]
        self.metrics[lane].add(line)
        self._answered_lanes[prompt] = self._answered_lanes.get(prompt, 0) + 1
        if self._answered_lanes[prompt] == self._lanes:
            self.finished.append(prompt)
