r"""CSV files with backslashes before quotes, or spaces before quoted cells."""

import csv
import io

import pytest

from core.data.readers import read_rows

ROWS = [
    ('He said "now", ok?', "Yes, at once."),
    ('Where is C:\\new\\"data"?', "On disk,\nin two lines."),
    ("What is a keel?", 'The "spine", of a ship.'),
    ("Why?", "So."),
]


def read(folder, text, name="rows.csv"):
    path, notes = folder / name, []
    path.write_text(text, newline="")
    found = list(read_rows(path, name, note=notes.append))
    assert all(row.row for row in found), [row.trouble for row in found]
    return [tuple(row.row.values()) for row in found], notes


def written(**options):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", **options)
    writer.writerows([("question", "answer"), *ROWS])
    return text.getvalue()


def spaced(delimiter=","):
    lines = [f"question{delimiter} answer"]
    lines += [f"{delimiter} ".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in ROWS]
    return "\n".join(lines) + "\n"


def escaped_by_hand(row):
    return ",".join('"' + cell.replace('"', '\\"') + '"' for cell in row)


READ = {
    "Python's escapes": (written(doublequote=False, escapechar="\\"), "written as"),
    "Python's escapes of all cells": (written(doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL), "written as"),
    "semicolons": (written(doublequote=False, escapechar="\\", delimiter=";", quoting=csv.QUOTE_ALL), "written as"),
    "spaces after commas": (spaced(), "spaces before quoted cells"),
    "spaces after semicolons": (spaced(";"), "spaces before quoted cells"),
}


@pytest.mark.parametrize("name", READ)
def test_habit_of_quotes_is_read_with_a_note(tmp_path, name):
    text, noted = READ[name]
    rows, notes = read(tmp_path, text)
    assert rows == ROWS
    assert sum(noted in note for note in notes) == 1


def test_backslashes_that_escape_no_quote_stay(tmp_path):
    rows = [('Run "a", then\\n "b"', "C:\\data"), ("Why?", 'Say "no", so.')] * 3
    text = "question,answer\n" + "".join(escaped_by_hand(row) + "\n" for row in rows)
    assert read(tmp_path, text)[0] == rows


def test_escapes_after_the_sample_are_read(tmp_path):
    text = "question,answer\n" + "".join(escaped_by_hand((f'{n} "a", b', "c\\d")) + "\n" for n in range(500))
    rows, _ = read(tmp_path, text)
    assert rows[-1] == ('499 "a", b', "c\\d")


UNCHANGED = {
    "quotes in the usual way": written(),
    "a path before a closing quote": 'question,answer\n"In C:\\dir\\","So, yes."\n"Why?","So."\n',
    "JSON in a cell": 'question,answer\n"{""a"": ""x \\""y\\"" ""}",So.\n"Why?","So."\n',
    "a space before one cell": 'question,answer\n1, "a" b\n2,c\n3,d\n',
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_usual_quotes_are_read_as_before(tmp_path, name):
    rows, notes = read(tmp_path, UNCHANGED[name])
    assert rows == [tuple(row) for row in csv.reader(io.StringIO(UNCHANGED[name], newline=""))][1:]
    assert not notes
