"""Lists of examples end with the number of those that are not shown."""

import pytest

from core.data.listing import list_some


@pytest.mark.parametrize(
    ("examples", "most", "total", "words"),
    [
        ([], 5, None, ""),
        ([3], 5, 1, "3"),
        ([0, 10, 20, 30, 40], 5, 5, "0, 10, 20, 30, 40"),
        ([0, 10, 20, 30, 40], 5, 6, "0, 10, 20, 30, 40 and 1 more"),
        (["a", "b", "c"], 2, None, "a, b and 1 more"),
        (range(2000), 1, None, "0 and 1,999 more"),
    ],
)
def test_list_some_returns_examples_and_number_of_the_others(examples, most, total, words):
    assert list_some(examples, most, total) == words
