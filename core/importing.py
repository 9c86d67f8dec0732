"""Imports of large libraries, without a search for garbage meanwhile."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Import something large within it.

    torch and its family make a million objects, and all of them stay. The collector would look through them again and
    again: a sixth of the time that a training process takes until it can begin. What is there at the end is never
    looked through again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
