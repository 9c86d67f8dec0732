"""Pages of rows: search, sort and filters give what plain Python gives."""

import itertools
import math
import threading

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from core.data import lengths, sources
from core.data.lengths import TokenizerSpec
from core.data.parse_rows import fold_text
from core.data.rows import Rows
from core.data.view import Filter, View
from core.errors import StudioError
from core.models import embedded
from tests.helpers.datasets import dialog, json_lines, open_dataset, open_dialogs

WORDS = ["tide", "Lamp", "Ёлка", "42", "the", "日本", "%", "_", "'", '"', "\\", "x"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Return 200 rows with columns of every kind, opened and as objects."""
    from core.settings import Settings

    folder = tmp_path_factory.mktemp("mixed")
    home = Settings(home=folder / "home").prepare()
    rows = []
    for i in range(200):
        messages = dialog(*[f"{WORDS[(i + k) % 12]} {WORDS[(i * 7 + k) % 12]}" for k in range(2 + 2 * (i % 3))])
        row = {"messages": messages, "score": (i * 37) % 101 / 4, "kind": f"k{i % 5}", "even": i % 2 == 0}
        if i % 9 == 0:
            row |= {"score": None, "kind": None}
        rows.append(row)
    data = open_dataset(home, folder, rows)
    return Rows(home, data.id), rows


def test_query_that_takes_too_long_is_interrupted_with_a_sentence(mixed, monkeypatch):
    monkeypatch.setattr("core.data.rows.QUERY_SECONDS", 0.05)
    with pytest.raises(StudioError, match=r"not found within 0\.05 seconds"):
        mixed[0].query("sum(hash(numbers.range))", set(), after=", range(1_000_000_000_000) numbers")


@pytest.mark.parametrize("fetch", ["fetchall", "df", "fetch_arrow_table"])
def test_result_that_takes_too_long_to_fetch_is_interrupted_with_a_sentence(mixed, monkeypatch, fetch):
    """Without a sum or an order, DuckDB returns before it has computed the rows."""
    monkeypatch.setattr("core.data.rows.QUERY_SECONDS", 0.2)
    after = ", range(1_000_000_000_000) numbers WHERE numbers.range < 300_000 OR hash(numbers.range) = 0"
    found = mixed[0].query("numbers.range", set(), after=after)
    assert found.fetchone()
    with pytest.raises(StudioError, match=r"not found within 0\.2 seconds"):
        getattr(found, fetch)()


def test_query_leaves_no_thread_that_could_close_its_connection(mixed):
    """DuckDB aborts the process if a thread closes a connection while Python exits."""
    for _ in range(20):
        mixed[0].page(View(), 0, 5)
        assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_pages_contain_every_row_once(mixed):
    rows, _ = mixed
    found = [n for at in range(0, 200, 30) for n in rows.page(View(), at, 30)["number_"]]
    assert found == list(range(200))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", ["row", "turns", "characters", "prompt", "answer", "score", "kind", "even"])
def test_page_sorted_by_any_column_has_empty_cells_last(mixed, column, descending):
    rows, _ = mixed
    frame = rows.page(View(sort=column, descending=descending), 0, 200, [column])
    values = [None if v is None or (isinstance(v, float) and math.isnan(v)) else v for v in frame[column]]
    present = [v for v in values if v is not None]
    assert values[: len(present)] == present, "empty cells are last"
    assert present == sorted(present, reverse=descending, key=lambda v: v.encode() if isinstance(v, str) else v)
    pairs = list(zip(values, frame["number_"], strict=True))
    assert all(a[1] < b[1] for a, b in itertools.pairwise(pairs) if a[0] == b[0])


@limits(max_examples=40)
@given(needle=st.sampled_from(WORDS) | st.text("tidelamp 42_%", min_size=1, max_size=4))
def test_search_equals_search_in_python(mixed, needle):
    rows, given_rows = mixed
    view = View(search=needle)

    def text(row: dict) -> str:
        cells = [str(row[name]) for name in ("score", "kind", "even") if row[name] is not None]
        return fold_text("\n".join([*(m["content"] for m in row["messages"]), *cells]))

    expected = [i for i, row in enumerate(given_rows) if fold_text(needle) in text(row)]
    assert rows.row_numbers(view) == expected
    assert rows.count(view) == len(expected)


@limits(max_examples=60)
@given(
    low=st.none() | st.integers(-1, 30),
    high=st.none() | st.integers(-1, 30),
    closed=st.booleans(),
    kinds=st.none() | st.lists(st.sampled_from(["k0", "k3", None, "nothing"]), max_size=3),
)
def test_filters_equal_filters_in_python(mixed, low, high, closed, kinds):
    rows, given_rows = mixed
    filters = [Filter(column="score", low=low, high=high, closed=closed)] if (low, high) != (None, None) else []
    filters += [Filter(column="kind", values=kinds)] if kinds is not None else []

    def fits(row: dict) -> bool:
        score = row["score"]
        ranged = (low, high) == (None, None) or (
            score is not None
            and (low is None or score >= low)
            and (high is None or (score <= high if closed else score < high))
        )
        return ranged and (kinds is None or row["kind"] in kinds)

    assert rows.row_numbers(View(filters=filters)) == [i for i, row in enumerate(given_rows) if fits(row)]


def test_filters_accept_flags_lengths_and_problems(settings, tmp_path):
    data = open_dialogs(
        settings, tmp_path, [dialog("a", "b" * 50), dialog("c", " "), dialog("d", "e")], flag=[True, False, True]
    )
    rows = Rows(settings, data.id)
    assert rows.row_numbers(View(filters=[Filter(column="flag", values=["true"])])) == [0, 2]
    assert rows.row_numbers(View(filters=[Filter(column="answer", low=10, by_length=True)])) == [0]
    assert rows.row_numbers(View(filters=[Filter(column="problem", values=["no answer"])])) == [1]


def test_filters_on_unknown_column_or_text_range_are_rejected(mixed):
    rows, _ = mixed
    with pytest.raises(
        StudioError, match=r"There is no column 'nope' to sort or filter by. The columns are: row, split"
    ):
        rows.page(View(sort="nope"), 0, 5)
    with pytest.raises(StudioError, match="is text, which has no range"):
        rows.count(View(filters=[Filter(column="kind", low=1)]))
    with pytest.raises(StudioError, match=r"There is no row 200\. Expected 0 to 199"):
        rows.row(200)


def test_columns_with_names_of_own_columns_or_sql_are_distinguished(settings, tmp_path):
    odd = 'a"; DROP TABLE x; --'
    data = open_dataset(
        settings, tmp_path, [{"messages": dialog("a", "b"), "row": 9, "prompt": "mine", odd: i} for i in (2, 1)]
    )
    rows = Rows(settings, data.id)
    assert {"row (source)", "prompt (source)", odd} <= rows.fields.keys()
    assert rows.row_numbers(View(sort=odd)) == [1, 0]
    assert list(rows.page(View(), 0, 2, ["prompt", "prompt (source)"])["prompt (source)"]) == ["mine", "mine"]


def test_row_returns_line_and_raw_text(settings, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n" + json_lines([{"messages": dialog("x" * 1000, "b")}]) + "oops\n")
    data = sources.open_file(settings, path)
    first, second = (Rows(settings, data.id).row(i) for i in (0, 1))
    assert (first["line"], first["problem"], first["messages"]) == (2, None, dialog("x" * 1000, "b"))
    assert (second["line"], second["problem"], second["raw"]) == (3, "cannot be read", "oops")


def test_rows_with_token_counts_sort_and_filter_by_them(studio, tmp_path):
    data = open_dialogs(studio, tmp_path, [dialog("a", "b " * 40), dialog("a", "b"), dialog("a", "b " * 9)])
    assert "tokens" not in Rows(studio, data.id).fields
    path = lengths.count_tokens(studio, data, data.detected, TokenizerSpec(embedded.NAME))
    rows = Rows(studio, data.id, lengths=path)
    assert rows.row_numbers(View(sort="tokens")) == [1, 2, 0]
    assert rows.row_numbers(View(filters=[Filter(column="answer_tokens", low=30)])) == [0]
