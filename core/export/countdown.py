"""Progress of counted work, such as the rows of a comparison: how many are done, and about how long the rest takes."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from core.runs.progress import duration
from core.system.jobs import Progress

ItemT = TypeVar("ItemT")
# Before that, the time of one item says little.
_MIN_SECONDS = 1.0


def count_down(items: Iterable[ItemT], total: int, progress: Progress, text: str) -> Iterator[ItemT]:
    """Yield items, and report how many are done before the first and after each of them.

    Args:
        items: What is worked on.
        total: How many there are.
        progress: Called with the share that is done, 0 to 1, and the stage.
        text: What is done with them, such as "Reading rows".
    """
    began = time.monotonic()
    progress(0, f"{text}, 0 of {total:,}")
    for number, item in enumerate(items, 1):
        yield item
        seconds = time.monotonic() - began
        left = duration(seconds / number * (total - number))
        rest = f", about {left} left" if number < total and seconds > _MIN_SECONDS else ""
        progress(min(1.0, number / total), f"{text}, {number:,} of {total:,}{rest}")
