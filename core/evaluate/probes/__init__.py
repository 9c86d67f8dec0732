"""The forgetting guard: 320 short probes with checkable answers, written for this project.

Tuning on one task can cost a model other abilities. There are eight kinds of probes, forty of each, and a training set
is unlikely to be about any of them. The base, the checkpoints and the final adapter are asked the same probes. A share
of right answers says little by itself; the difference to the base's share says what tuning has cost.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from core.evaluate.probes.checks import CHECKS

_FILE = Path(__file__).parent / "probes.jsonl"
# Enough for the longest answer that a probe asks for, about fifty words.
MAX_NEW_TOKENS = 96


@dataclass(frozen=True)
class Probe:
    """One probe.

    Attributes:
        kind: What it tests, such as "arithmetic".
        prompt: The question.
        check: Name of the check in `CHECKS`.
        expect: What the check compares with.
        options: The choices of a question that offers some.
    """

    kind: str
    prompt: str
    check: str
    expect: Any
    options: list[str] = field(default_factory=list)

    def is_right(self, answer: str) -> bool:
        """Return whether an answer passes the check."""
        more = {"options": self.options} if self.options else {}
        return CHECKS[self.check](answer, expect=self.expect, **more)


@cache
def probes() -> tuple[Probe, ...]:
    """Return all probes, forty of each kind."""
    with _FILE.open(encoding="utf-8") as stream:
        return tuple(Probe(**json.loads(line)) for line in stream)


def kinds() -> list[str]:
    """Return the kinds of probes in their order."""
    return list(dict.fromkeys(probe.kind for probe in probes()))
