"""Columns whose names SQL does not distinguish, or cannot quote, keep their own values everywhere."""

import json

import pytest

from core.data import sources, sql_box
from core.data.rows import Rows
from core.data.view import Filter, View, quote_name

# Equal but for case, also to the studio's own columns; empty; quotes, a line break, an emoji; words of SQL.
NAMES = [
    "Text", "text", "TEXT", "Prompt", "PROMPT", "Row", "split", "Split", "", " ", "rowid", 'quo"te\'s', "new\nline",
    "😀", "ümlaut", "ÜMLAUT", "select", "text_1", "raw", "messages", "number_", "problem_", "cell_0", "x" * 900, "rows",
    "a.b", "c.text", "$numbers", "%s", "); --",
]  # fmt: skip


@pytest.fixture
def rows(settings, tmp_path):
    path = tmp_path / "names.jsonl"
    lines = [
        {"question": f"What is fact {row}?", "answer": f"It is {row}."}
        | {name: f"{at}/{row}" for at, name in enumerate(NAMES)}
        for row in range(3)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return Rows(settings, sources.open_file(settings, path).id)


def shown(rows, name):
    """Return the name of a column of the source on the page."""
    return name if f"{name} (source)" not in rows.fields else f"{name} (source)"


def test_page_search_filter_order_and_sql_have_the_values_of_their_column(rows):
    names = [shown(rows, name) for name in NAMES]
    page = rows.page(View(), 0, 3, names)
    assert list(page.columns[:-3]) == names
    for at, name in enumerate(names):
        assert page[name].tolist() == [f"{at}/{row}" for row in range(3)]
        view = View(filters=[Filter(column=name, values=[f"{at}/1"])], sort=name)
        assert rows.row_numbers(view) == [1]
    assert [raw[:25] for raw in page["raw"]] == [f'{{"question": "What is fact {row}?"'[:25] for row in range(3)]
    listed = [name for name, _ in sql_box.list_columns(rows)]
    assert len({name.casefold() for name in listed}) == len(listed)
    found = sql_box.run_select(rows, f"SELECT {', '.join(map(quote_name, listed))} FROM rows ORDER BY row")
    assert found.columns == listed
    assert {f"{at}/0" for at in range(len(NAMES))} < set(found.rows[0])


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_integers_beyond_64_bits_keep_their_digits(settings, tmp_path, kind):
    ids = {"low": 2**53 + 1, "high": 2**64 - 1, "limit": -(2**63), "far": 10**30 + 1}
    names = ["question", "answer", *ids]
    cells = [["What is it?", f"It is {row}.", *ids.values()] for row in range(2)]
    text = {
        "csv": "\n".join(",".join(map(str, row)) for row in [names, *cells]),
        "jsonl": "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in cells),
    }[kind]
    path = tmp_path / f"ids.{kind}"
    path.write_text(text)
    rows = Rows(settings, sources.open_file(settings, path).id)
    page = rows.page(View(), 0, 1, [*ids]).to_dict("records")[0]
    assert {name: str(page[name]) for name in ids} == {name: str(value) for name, value in ids.items()}
    assert [rows.fields[name].kind for name in ids] == ["integer", "text", "text", "text"]


def test_columns_beyond_the_stored_ones_are_reported(settings, tmp_path):
    path = tmp_path / "wide.jsonl"
    path.write_text(json.dumps({"question": "What?", "answer": "It."} | {f"c{at}": at for at in range(300)}))
    assert any("46 columns after the first 256" in note for note in sources.open_file(settings, path).complaints)
