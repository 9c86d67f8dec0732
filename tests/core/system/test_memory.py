"""Freed memory goes back to the system."""

import sys

import psutil
import pytest

from core.system.memory import release_freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be asked")
def test_release_freed_memory_returns_freed_memory():
    release_freed_memory()
    # Allocated last, so that the freed memory below it is not at the end of the heap.
    last_block = bytearray(1)
    pieces = [bytearray(60_000) for _ in range(4000)]
    last_block = [bytes(100_000), last_block]
    held = psutil.Process().memory_info().rss
    del pieces
    release_freed_memory()
    assert held - psutil.Process().memory_info().rss > 150 * 2**20
    assert last_block
