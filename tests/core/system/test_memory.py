"""Freed memory goes back to the system."""

import sys

import psutil
import pytest

from core.system.memory import give_back


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be asked")
def test_give_back_returns_freed_memory():
    give_back()
    kept = bytearray(1)  # allocated last, so that what lies below it cannot simply be cut off
    pieces = [bytearray(60_000) for _ in range(4000)]
    kept = [bytes(100_000), kept]
    held = psutil.Process().memory_info().rss
    del pieces
    give_back()
    assert held - psutil.Process().memory_info().rss > 150 * 2**20
    assert kept
