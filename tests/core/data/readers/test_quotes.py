r"""CSV files with backslashes before quotes, or spaces before quoted cells."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def mysql_cell(text):
    """Return a cell as MySQL writes it: backslashes before quotes, backslashes and line ends; NULL without quotes."""
    return "\\N" if text is None else '"' + re.sub(r'(["\\\n])', r"\\\1", text) + '"'


MYSQL_CELLS = st.none() | st.text(st.sampled_from('ab ,"\\\n'), min_size=1, max_size=8)


@given(st.lists(st.tuples(MYSQL_CELLS, MYSQL_CELLS), min_size=1, max_size=8))
def test_escapes_of_mysql_are_undone(tmp_path_factory, more):
    rows = [("Run:\n\nmake", None), ('Say "no"?', "C:\\new\\\nNo."), *more]
    lines = [("question", "answer"), *rows]
    text = "".join(",".join(map(mysql_cell, row)) + "\n" for row in lines)
    found, notes = read(tmp_path_factory.mktemp("m"), text)
    assert found == rows
    assert "as MySQL does" in notes[0]
    assert "which databases write for a missing value" in notes[1]


COMMANDS = {
    "commands with line ends, in the usual quotes": 'q,a\nList?,"ls \\\n -l ""x"""\nAgain?,"ls \\\n -a"\n',
    "commands and other line ends": 'q,a\n"Say \\"ls\\", so","ls \\\n -l"\n"And, so?","a\nb"\n',
    "commands with backslashes of their own": 'q,a\n"Say \\"ls\\", so","ls \\\n \\; -l"\n"And, so?","b"\n',
}


@pytest.mark.parametrize("name", COMMANDS)
def test_backslashes_before_line_ends_stay_unless_the_file_is_of_mysql(tmp_path, name):
    rows, _ = read(tmp_path, COMMANDS[name])
    assert rows[0][1].startswith("ls \\\n ")


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
