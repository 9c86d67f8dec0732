"""Lists of examples end with the number of those that are not shown."""

import pytest

from core.data.listing import list_some, number_range, of_first_rows


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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (number_range("1", "1", "characters"), "1 character"),
        (number_range("8", "8", "characters"), "8 characters"),
        (number_range("1", "8", "characters"), "1 to 8 characters"),
        (number_range("2", "2"), "2"),
        (number_range("2", "6"), "2 to 6"),
        (of_first_rows(200, 200), "all of the first 200 rows"),
        (of_first_rows(0, 9), "0 of the first 9 rows"),
        (of_first_rows(1, 1), "the only row"),
    ],
)
def test_counts_and_ranges_read_as_sentences(words, expected):
    assert words == expected
