"""Files whose content shows another kind than the ending of their name."""

import gzip
import json

import pytest

from core.data.readers import read_rows

ROWS = [
    {"question": "How do tides come about?", "answer": "The moon pulls, the water follows."},
    {"question": "Why is the sea salty?", "answer": "Rivers carry salt; it stays."},
    {"question": "What is a keel?", "answer": "The spine | of a ship."},
]


def read(folder, text, name):
    path, notes = folder / name, []
    path.write_text(text, newline="")
    return [found.row for found in read_rows(path, name, note=notes.append)], notes


def lines(end="\n", last=""):
    return "".join(json.dumps(row) + last + end for row in ROWS)


def table(delimiter, header=None):
    texts = [header or delimiter.join(ROWS[0])]
    texts += [delimiter.join(f'"{cell}"' for cell in row.values()) for row in ROWS]
    return "\n".join(texts) + "\n"


CASES = {
    "JSON lines": ("rows.txt", lines()),
    "JSON lines with CRLF": ("rows.txt", lines("\r\n")),
    "JSON lines with the ends of old Macs": ("rows.txt", lines("\r")),
    "JSON lines between empty lines": ("rows.txt", lines("\n\n")),
    "JSON lines after a mark": ("rows.txt", "\ufeff" + lines()),
    "JSON lines in a CSV file": ("rows.csv", lines()),
    "JSON lines in a TSV file": ("rows.tsv", lines()),
    "a list in lines": ("rows.txt", json.dumps(ROWS, indent=1)),
    "a list in one line": ("rows.txt", json.dumps(ROWS)),
    "an object with the list": ("rows.txt", json.dumps({"data": ROWS}, indent=1)),
    "objects of several lines": ("rows.txt", "\n".join(json.dumps(row, indent=2) for row in ROWS)),
    "a list in a CSV file": ("rows.csv", json.dumps(ROWS, indent=1)),
    "commas": ("rows.txt", table(",")),
    "semicolons": ("rows.txt", table(";")),
    "bars": ("rows.txt", table("|")),
    "a table in a JSONL file": ("rows.jsonl", table(",")),
    "a table in a JSON file": ("rows.json", table(";")),
    "commas in a TSV file": ("rows.tsv", table(",")),
    "semicolons in a TSV file": ("rows.tsv", table(";")),
}


@pytest.mark.parametrize("name", CASES)
def test_content_decides_over_ending(tmp_path, name):
    rows, notes = read(tmp_path, CASES[name][1], CASES[name][0])
    assert rows == ROWS
    assert any("ends in ." in note for note in notes)


def test_long_lines_and_packed_files_are_judged(tmp_path):
    long = [{"question": "Why?", "answer": "So. " * 100_000}] * 2
    assert read(tmp_path, "".join(json.dumps(row) + "\n" for row in long), "long.txt")[0] == long
    path = tmp_path / "rows.txt.gz"
    path.write_bytes(gzip.compress(lines().encode()))
    assert [found.row for found in read_rows(path, path.name)] == ROWS


PLAIN = {
    "an object in prose": '{"a": 1}\nThis is how a JSON object looks.\nMore prose, here.\n',
    "JSON among prose": "Send this:\n" + lines(),
    "lists of numbers": "[1]\n[2]\n[3]\n",
    "references": "[1] The sea, 1901.\n[2] The moon, 1902.\n[3] The ship, 1903.\n",
    "Llama marks": "[INST] Hi [/INST] Hello\n[INST] Bye [/INST] Well\n",
    "texts in quotes": '"{hello} there"\n"{name} again"\n"{name} at last"\n',
    "sets of words": "{'a', 'b'}\n{'c', 'd'}\n{'e', 'f'}\n",
    "code in braces": "{\n  int a;\n}\n{\n  int b;\n}\n",
    "prose with commas": "Name,Age\nBob, who is old, went home.\nAda, too.\n",
    "a poem of two halves": "Text, and tide\nThe sea, the sea\nThe moon, the moon\nA ship, a shore\n",
    "a table without known names": "Boat,Harbour\nAnna,Bergen\nBea,Cuxhaven\nCleo,Dover\n",
    "a dialogue": "Ann: question; answer\nBen: no; yes\nAnn: well; well\n",
    "a table of one row": "question,answer\nWhy?,So.\n",
}


@pytest.mark.parametrize("name", PLAIN)
def test_text_stays_plain(tmp_path, name):
    rows, notes = read(tmp_path, PLAIN[name], "rows.txt")
    assert [row["text"] for row in rows] == PLAIN[name].splitlines()
    assert not notes


def test_tsv_of_one_column_keeps_its_commas(tmp_path):
    rows, notes = read(tmp_path, "text\nOne, two.\nThree, four.\nFive, six.\n", "rows.tsv")
    assert [row["text"] for row in rows] == ["One, two.", "Three, four.", "Five, six."]
    assert not notes
