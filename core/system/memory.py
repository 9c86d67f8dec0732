"""Return of freed memory to the operating system; by default, glibc keeps it for the process."""

import ctypes
import gc
import sys


def release_freed_memory() -> None:
    """Collect garbage and, with glibc, return the freed pages to the operating system."""
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(ctypes.c_size_t(0))
