"""Phases of a short piece of work that a click waits for, shown where it was clicked."""

import contextvars
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from studio.html import render

_UPDATE_SECONDS = 0.2
Result = TypeVar("Result")


def follow_phases(
    outputs: Mapping[str, str], work: Callable[[Callable[[str], None]], Result], first: str
) -> Generator[dict[str, str], None, Result]:
    """Do work in a thread, yield its phases as HTML for some outputs, and return its result.

    If the page is closed meanwhile, the work goes on to its end.

    Args:
        outputs: Names of the outputs that show the phases, each with the text before a phase; the caller empties the
            outputs at the end.
        work: Takes the function that it calls with the description of each phase.
        first: The phase that is shown at once.
    """
    phases, began, shown = [first], time.monotonic(), None
    with ThreadPoolExecutor(1, thread_name_prefix="studio-phases") as pool:
        # The thread acts for the caller of this call.
        future = pool.submit(contextvars.copy_context().run, work, phases.append)
        while True:
            now = (phases[-1], int(time.monotonic() - began))
            if now != shown:
                shown = now
                yield {name: phase_html(before + now[0], now[1]) for name, before in outputs.items()}
            if wait([future], _UPDATE_SECONDS).done:
                return future.result()


def phase_html(text: str, seconds: int) -> str:
    """Return a phase with the seconds since the click, once there is one."""
    return render("phase", text=text, seconds=seconds)
