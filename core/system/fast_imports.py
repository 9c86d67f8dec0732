"""Faster imports of torch and its family, by skipping work that the studio does not need.

`disable_compiler` keeps torch's compiler from being loaded; `pause_gc` stops the garbage collector and repeated scans
of installed packages during imports.
"""

import contextlib
import functools
import gc
import importlib.metadata
import os
from collections.abc import Iterator


def disable_compiler() -> None:
    """Disable torch.compile in this process and its children, unless the environment sets it already.

    The studio compiles nothing. On processors for which bitsandbytes has no native kernel, importing it calls
    torch.compile, and each process then loads torch's compiler, which is a fifth of all that training imports.
    """
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")


@contextlib.contextmanager
def pause_gc() -> Iterator[None]:
    """Pause garbage collection and cache the list of installed packages while large libraries are imported.

    torch and its family create about a million objects that all stay alive. Scanning them again and again takes a sixth
    of the start of a training process. Afterwards they are frozen, so that no later collection scans them. transformers
    and trl each list the files of all installed packages; the cache lets them share one list.
    """
    gc.disable()
    original = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = functools.cache(original)
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = original
        gc.freeze()
        gc.enable()
