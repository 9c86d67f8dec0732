"""Memory that Python has freed, given back to the system: glibc keeps it for the process otherwise."""

import ctypes
import gc
import sys


def give_back() -> None:
    """Collect what nobody refers to any more and, where the C library is glibc, return the freed pages."""
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(ctypes.c_size_t(0))
