"""core/system/process_limits.py: what runs out of memory is told so, in whatever words a library has for it."""

import pytest

from core.access.quotas import GIB, Quotas
from core.system.process_limits import Limits, is_memory


class ArrowMemoryError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), True),
        (ArrowMemoryError(), True),
        (RuntimeError("std::bad_alloc"), True),
        (ValueError("no"), False),
    ],
)
def test_memory_that_ran_out_is_known(error, said):
    assert is_memory(error) is said


def test_limits_come_from_the_quotas():
    limits = Limits.of(Quotas(parse_gib=2, parse_seconds=7, parse_disk_gib=3))
    assert (limits.memory, limits.seconds, limits.written) == (2 * GIB, 7, 3 * GIB)
