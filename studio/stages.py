"""Stages of a short piece of work that a click waits for, shown where it was clicked."""

import contextvars
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from studio.html import render

_UPDATE_SECONDS = 0.2
Result = TypeVar("Result")


def follow_stages(
    outputs: Mapping[str, str], work: Callable[[Callable[[str], None]], Result], first: str
) -> Generator[dict[str, str], None, Result]:
    """Do work in a thread, yield its stages as HTML for some outputs, and return its result.

    If the page is closed meanwhile, the work goes on to its end.

    Args:
        outputs: Names of the outputs that show the stages, each with the text before a stage; the caller empties the
            outputs at the end.
        work: Takes the function that it calls with the description of each stage.
        first: The stage that is shown at once.
    """
    stages, began, shown = [first], time.monotonic(), None
    with ThreadPoolExecutor(1, thread_name_prefix="studio-stages") as pool:
        # The thread acts for the caller of this call.
        future = pool.submit(contextvars.copy_context().run, work, stages.append)
        while True:
            now = (stages[-1], int(time.monotonic() - began))
            if now != shown:
                shown = now
                yield {name: stage_html(before + now[0], now[1]) for name, before in outputs.items()}
            if wait([future], _UPDATE_SECONDS).done:
                return future.result()


def stage_html(text: str, seconds: int) -> str:
    """Return a stage with the seconds since the click, once there is one."""
    return render("stage", text=text, seconds=seconds)
