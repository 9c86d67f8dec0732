"""Imports of large libraries, without what takes time in them and serves nobody here."""

import contextlib
import functools
import gc
import importlib.metadata
import os
from collections.abc import Iterator


def uncompiled() -> None:
    """Let torch compile nothing in this process and those it starts, unless somebody has said otherwise.

    The studio asks for no compiled function. bitsandbytes does when it is imported, for processors that it has no
    kernel of its own for, and each process then loads torch's compiler: a fifth of all that training imports.
    """
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Import something large within it: no search for garbage meanwhile, one for installed packages.

    torch and its family make a million objects, and all of them stay. The collector would look through them again and
    again: a sixth of the time that a training process takes until it can begin. What is there at the end is never
    looked through again. transformers and trl each read the lists of all files of all packages.
    """
    gc.disable()
    look = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = functools.cache(look)
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = look
        gc.freeze()
        gc.enable()
