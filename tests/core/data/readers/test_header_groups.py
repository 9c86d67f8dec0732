"""Headers of two lines: merged cells of a spreadsheet above the names of the columns."""

import pytest

from core.data.readers import read_rows

ROWS = "Ann,Why is it salty?,en,Rivers carry salt.,Bob,5\nCleo,Is it deep?,en,It is.,Dan,4\n"
GROUPS = {
    "merged cells": ("Customer,,,Agent,,\nName,Question,Language,Answer,By,Score\n",
                     ["Name", "Question", "Language", "Answer", "By", "Score"]),
    "repeated cells": ("Customer,Customer,Customer,Agent,Agent,Agent\nName,Question,Language,Answer,By,Score\n",
                       ["Name", "Question", "Language", "Answer", "By", "Score"]),
    "one name per group": ("en,,de,,fr,\nQ,A,Q,A,Q,A\n", ["en Q", "en A", "de Q", "de A", "fr Q", "fr A"]),
    "an index before them": (",en,,de,,\nid,Question,Answer,Question,Answer,Answer 2\n",
                             ["id", "en Question", "en Answer", "de Question", "de Answer", "de Answer 2"]),
    "a name in some groups": ("Request,,,Reply,,\nBy,Text,Language,Text,Agent,Score\n",
                              ["Request By", "Request Text", "Request Language", "Reply Text", "Reply Agent",
                               "Reply Score"]),
}  # fmt: skip


def read(folder, text):
    path, notes = folder / "rows.csv", []
    path.write_text(text)
    return [found.row for found in read_rows(path, path.name, note=notes.append)], notes


@pytest.mark.parametrize("name", GROUPS)
def test_names_below_groups_are_the_header(tmp_path, name):
    header, names = GROUPS[name]
    rows, notes = read(tmp_path, header + ROWS)
    assert [list(row) for row in rows] == [names] * 2
    assert any("line 2" in note and "names the columns below the groups" in note for note in notes)


OTHERS = {
    "unnamed columns": ("Name,Question,,Answer,,\n", "Eve,Is it cold?,en,Rather.,Bob,3\n"),
    "a row of short values": ("A,A,B,B,C,C\n", "Eve,text,en,text,Bob,3\n"),
    "all names": ("a,b,c,d,e,f\n", "Name,Question,Language,Answer,By,Score\n"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_second_lines_are_rows(tmp_path, name):
    header, first = OTHERS[name]
    rows, _ = read(tmp_path, header + first + ROWS)
    assert len(rows) == 3


def test_line_that_may_name_the_columns_below_merged_cells_is_quoted(tmp_path):
    rows, notes = read(tmp_path, "Kunde,,,Firma,,\nName,Wert,Sprache,Wert,Autor,Zahl\n" + ROWS)
    assert len(rows) == 3
    assert any(
        "'Name, Wert, Sprache, Wert, Autor, Zahl'" in note and "4 columns have no name" in note for note in notes
    )
