"""Out-of-memory errors are recognized, whichever library raises them."""

import pytest

from core.system.process_limits import is_memory_error


class ArrowMemoryError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (ArrowMemoryError(), True),
        (RuntimeError("std::bad_alloc"), True),
        (ValueError("no"), False),
    ],
)
def test_is_memory_error_knows_the_errors_of_every_library(error, expected):
    assert is_memory_error(error) is expected
