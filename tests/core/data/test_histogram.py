"""Histograms of columns, and the filters that their bars select."""

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from core.data.histogram import BARS, format_number, histogram
from core.data.rows import Rows
from core.data.view import Filter, View
from tests.helpers.datasets import dialog, open_dataset


@pytest.fixture
def rows(settings, tmp_path):
    given_rows = [
        {"messages": dialog("a", "b" * i), "n": i, "x": i / 7, "kind": "abc"[i % 3] if i % 10 else None, "id": f"id{i}"}
        for i in range(1, 101)
    ]
    return Rows(settings, open_dataset(settings, tmp_path, given_rows).id)


@pytest.mark.parametrize("column", ["n", "x", "kind", "id", "answer", "prompt", "turns", "split", "row"])
def test_histogram_bar_filter_selects_the_rows_it_counts(rows, column):
    found = histogram(rows, column)
    assert found.bars
    assert len(found.bars) <= BARS
    for bar in found.bars:
        assert rows.count(View(filters=[bar.chosen])) == bar.count, bar
    assert sum(bar.count for bar in found.bars) + found.empty == 100


def test_format_number_writes_no_exponents():
    assert [format_number(number) for number in (0.12345, 7, 10_120.4, -12_000_000)] == [
        "0.1235",
        "7",
        "10,120",
        "-12,000,000",
    ]


def test_histogram_of_few_values_has_one_bar_per_value(rows):
    found = histogram(rows, "kind")
    assert (found.kind, found.empty) == ("values", 10)
    assert [bar.count for bar in found.bars] == sorted((bar.count for bar in found.bars), reverse=True)
    assert histogram(rows, "id").kind == "lengths"


def test_histogram_ignores_only_the_filter_on_its_own_column(rows):
    own_filter, other_filter = Filter(column="n", low=1, high=11), Filter(column="kind", values=["a"])
    filtered = histogram(rows, "n", View(filters=[own_filter, other_filter]))
    assert sum(bar.count for bar in filtered.bars) == rows.count(View(filters=[other_filter]))


def test_histogram_without_rows_has_no_bars(rows):
    found = histogram(rows, "n", View(search="nowhere to be found"))
    assert (found.bars, found.empty) == ([], 0)


@limits(max_examples=12)
@given(st.lists(st.floats(-1e12, 1e12) | st.integers(-(10**6), 10**6) | st.none(), min_size=1, max_size=40))
def test_histogram_counts_every_number_in_exactly_one_bar(tmp_path_factory, values):
    from core.settings import Settings

    folder = tmp_path_factory.mktemp("h")
    home = Settings(home=folder / "home").prepare()
    data = open_dataset(home, folder, [{"messages": dialog("a", "b"), "v": value} for value in values])
    rows = Rows(home, data.id)
    if "v" not in rows.fields:
        # A column of empty cells is not stored.
        return
    found = histogram(rows, "v")
    assert sum(bar.count for bar in found.bars) + found.empty == len(values)
    assert [rows.count(View(filters=[bar.chosen])) for bar in found.bars] == [bar.count for bar in found.bars]
