"""Sums below a table are no rows, and are noted; the same words within a table are."""

import pytest

from core.data.readers import read_rows

ROWS = "question;answer;hours\nWhen is high tide?;At six.;2\nAnd low tide?;At noon.;4\n"


def read(tmp_path, text, name="x.csv"):
    notes = []
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    rows = list(read_rows(path, name, note=notes.append))
    return [list(row.row.values()) for row in rows], [note for note in notes if "below the table" in note]


@pytest.mark.parametrize(
    "below",
    [
        "Total;2;6\n", "TOTAL:;;6\n", ";Total;6\n", "Summe;;6,00 €\n\n", "Grand total;;1,234.50\n", "合计;2;6",
        "Count;2;\n", "Total;2;6\nAverage;;3.0\n", "Gesamt;;-6 %\n", "Итого;;(6)\n", "Total;;\n",
        "Total;;USD 6\nSum;;6 USD",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ";"), ("x.tsv", "\t"), ("x.txt", "\t")])
def test_sum_below_a_table_is_no_row(tmp_path, below, name, delimiter):
    rows, notes = read(tmp_path, (ROWS + below).replace(";", delimiter), name)
    assert [row[0] for row in rows] == ["When is high tide?", "And low tide?"]
    assert len(notes) == len(below.strip().splitlines())


@pytest.mark.parametrize(
    "row",
    [
        "Total;What is left.;6", "What is the total?;6;6", "Total of all;2;6", "Sum it up;At six.;", "mean;unkind;3",
        "Total;2;6 boats",
    ],
)  # fmt: skip
def test_row_that_is_no_sum_is_read(tmp_path, row):
    rows, notes = read(tmp_path, f"{ROWS}{row}\n")
    assert (len(rows), notes) == (3, [])


def test_sum_above_other_rows_is_read(tmp_path):
    rows, notes = read(tmp_path, ROWS.replace("\nAnd", "\nTotal;2;6\nAnd"))
    assert ([row[0] for row in rows][1], notes) == ("Total", [])
    # A file of nothing but sums has rows.
    assert len(read(tmp_path, "word;count\nTotal;2\n")[0]) == 1
