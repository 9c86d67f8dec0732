"""Lines above a table that begin with "#": remarks are skipped with a note, and the directives of Anki are followed."""

import pytest

from core.data.readers import read_rows

PAIRS = [("Why is it <b>salty</b>?", "Rivers, mostly."), ("What is a keel?", "A spine."), ("And a bow?", "The front.")]
TABS = "".join(f"{question}\t{answer}\n" for question, answer in PAIRS)
COMMAS = "".join(f'"{question}","{answer}"\n' for question, answer in PAIRS)


def read(folder, name, text):
    path, notes = folder / name, []
    path.write_bytes(text.encode())
    return [found.row for found in read_rows(path, path.name, note=notes.append)], notes


def rows(first, second, **more):
    return [{first: question, second: answer, **more} for question, answer in PAIRS]


ANKI = "#separator:tab\n#html:false\n"
READ = {
    "Anki": ("notes.txt", f"#separator:tab\n#html:true\n{TABS}", rows("front", "back"), "holds HTML"),
    "Anki with tags": ("notes.txt", ANKI + "#tags column:3\n" + TABS.replace("\n", "\tsea\n"),
                       rows("front", "back", tags="sea"), "export of Anki"),
    "Anki with ids": ("notes.tsv", ANKI + "#guid column:1\n" + "".join(f"x\t{line}\n" for line in TABS.splitlines()),
                      [{"guid": "x", **row} for row in rows("front", "back")], "export of Anki"),
    "Anki with names": ("notes.csv", f"#separator:Comma\n#columns:Front,Back\n{COMMAS}", rows("Front", "Back"),
                        "export of Anki"),
    "Anki with three fields": ("notes.txt", ANKI + TABS.replace("\n", "\tx\n"),
                               rows("field_1", "field_2", field_3="x"), "export of Anki"),
    "Anki under Windows": ("notes.txt", "\ufeff" + (ANKI + TABS).replace("\n", "\r\n"), rows("front", "back"), "Anki"),
    "a remark": ("a.csv", f"# made by faqtool\nquestion,answer\n{COMMAS}", rows("question", "answer"), "line 1"),
    "remarks": ("a.csv", f"# faqtool, 2.1\n# of 2024\nquestion,answer\n{COMMAS}", rows("question", "answer"),
                "lines 1 to 2"),
    "a remark above tabs": ("a.tsv", f"## faqtool\nquestion\tanswer\n{TABS}", rows("question", "answer"), "faqtool"),
    "a remark in a text file": ("a.txt", f"# faqtool\nquestion\tanswer\n{TABS}", rows("question", "answer"), "line 1"),
    "a remark above commas in a text file": ("a.txt", f"# faqtool\nquestion,answer\n{COMMAS}",
                                             rows("question", "answer"), "line 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_lines_above_a_table_are_no_rows(tmp_path, name):
    file, text, expected, note = READ[name]
    found, notes = read(tmp_path, file, text)
    assert found == expected
    assert any(note in words for words in notes)


KEPT = {
    "a name": ("a.csv", f"#question,answer\n{COMMAS}", rows("#question", "answer")),
    "a name after a space": ("a.csv", f"# question,answer\n{COMMAS}", rows("# question", "answer")),
    "rows that begin so": ("a.tsv", "question\tanswer\n# a\tb\n# c\td\n",
                           [{"question": "# a", "answer": "b"}, {"question": "# c", "answer": "d"}]),
    "headings": ("a.md", "# Lamps\n\nTrim the wick.\n", [{"text": "# Lamps"}, {"text": "Trim the wick."}]),
    "headings alone": ("a.txt", "# Lamps\n# Wicks\n", [{"text": "# Lamps"}, {"text": "# Wicks"}]),
    "a text about Anki": ("a.txt", "#separator:tab\nis its first line\n",
                          [{"text": "#separator:tab"}, {"text": "is its first line"}]),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_other_lines_that_begin_so_are_read(tmp_path, name):
    file, text, expected = KEPT[name]
    assert read(tmp_path, file, text)[0] == expected
