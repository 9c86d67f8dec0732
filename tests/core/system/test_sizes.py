"""Sizes are shown in the largest unit of which there is at least one."""

import pytest

from core.system.sizes import format_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"), (1, "1 byte"), (1023, "1,023 bytes"), (1024, "1.0 KiB"), (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"), (19_593_113, "18.7 MiB"), (20 * 1024**3, "20.0 GiB"), (5000 * 1024**4, "5,000.0 TiB"),
    ],
)  # fmt: skip
def test_format_size_uses_the_largest_unit(size, text):
    assert format_size(size) == text
