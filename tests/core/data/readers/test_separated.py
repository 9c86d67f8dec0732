"""CSV and TSV files: delimiters, quotes, headers and ragged rows."""

import csv
import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.data.readers import read_rows
from core.errors import StudioError

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\x00\ufdd1"), max_size=12)


def read(folder, data: str | bytes, name: str = "rows.csv") -> list:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(read_rows(path, name))


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_read_csv_returns_records_of_csv_writer(tmp_path_factory, rows, end, quoting):
    # Python's writer does not quote a lone carriage return if lines end otherwise, which makes the file ambiguous.
    assume(end == "\r\n" or quoting == csv.QUOTE_ALL or not any("\r" in cell for row in rows for cell in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end, quoting=quoting)
    writer.writerow(["first", "second", "third"])
    writer.writerows(rows)
    found = read(tmp_path_factory.mktemp("c"), text.getvalue())
    assert [tuple(r.row.values()) for r in found] == rows


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_read_csv_detects_delimiter(tmp_path, delimiter):
    found = read(tmp_path, f"text{delimiter}label\nhello{delimiter}1\n")
    assert [r.row for r in found] == [{"text": "hello", "label": "1"}]


def test_read_csv_names_unnamed_and_repeated_columns(tmp_path):
    [only] = read(tmp_path, "a,,a,a_2\n1,2,3,4\n")
    assert only.row == {"a": "1", "column_2": "2", "a_2": "3", "a_2_2": "4"}


def test_read_csv_reports_ragged_rows_by_line(tmp_path):
    found = read(tmp_path, 'a,b\n1,"two\nlines"\n1\n1,2,3\n4,5\n')
    assert [(r.line, r.row, r.trouble) for r in found] == [
        (2, {"a": "1", "b": "two\nlines"}, ""),
        (4, None, "has 1 column, the header has 2"),
        (5, None, "has 3 columns, the header has 2"),
        (6, {"a": "4", "b": "5"}, ""),
    ]


def test_read_csv_unmatched_quote_rejects_only_its_line(tmp_path):
    found = read(tmp_path, 'a,b\n1,"open\n2,3\n4,5\n')
    assert "quotes that do not match" in found[0].trouble
    assert [r.row for r in found[1:]] == [{"a": "2", "b": "3"}, {"a": "4", "b": "5"}]


def test_read_tsv_keeps_ordinary_quotes(tmp_path):
    found = read(tmp_path, 'text\tlabel\n"Good" film\t1\nA "bad" one\t0\n', "rows.tsv")
    assert [r.row["text"] for r in found] == ['"Good" film', 'A "bad" one']


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        (['"Yes."', 'He said "No."'], '"Yes."'),
        (['"Yes."', '"No."'], "Yes."),
        (['"He said ""Yes""."', 'A 5" pipe'], 'He said "Yes".'),
        (['"Two\nlines"', 'A 5" pipe'], "Two\nlines"),
    ],
)
def test_read_tsv_quotes_of_cells_are_text_where_others_stand_inside(tmp_path, lines, first):
    found = read(tmp_path, "text\tlabel\n" + "".join(f"{line}\t1\n" for line in lines), "rows.tsv")
    assert found[0].row["text"] == first
    assert len(found) == len(lines)


def test_read_csv_accepts_200_columns_nul_and_mark(tmp_path):
    names = [f"c{i}" for i in range(200)]
    data = b"\xef\xbb\xbf" + ",".join(names).encode() + b"\n" + b",".join(b"a\x00b" for _ in names) + b"\n"
    [only] = read(tmp_path, data)
    assert list(only.row) == names
    assert set(only.row.values()) == {"a\x00b"}


def test_read_csv_rejects_unreadable_header(tmp_path):
    with pytest.raises(StudioError, match="no readable header"):
        read(tmp_path, 'a,"b\n')


PAIRS = [{"prompt": "b", "completion": "c"}, {"prompt": "d", "completion": "e"}]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nprompt;completion\nb;c\nd;e\n",
        '"sep=;"\nprompt;completion\nb;c\nd;e\n',
        "SEP=\t\nprompt\tcompletion\nb\tc\nd\te\n",
        "\ufeffsep=,\r\nprompt,completion\r\nb,c\r\nd,e\r\n",
        "prompt;completion;\nb;c;\nd;e;\n",
        "prompt,completion\nb,c,\nd,e,,\n",
        "prompt|completion\nb|c\nd|e\n",
        "prompt,completion\rb,c\rd,e\r",
        '"prompt","completion"\n"b","c"\n"d","e"\n',
        " prompt , completion \nb,c\nd,e\n",
        "prompt,completion\n\nb,c\n\nd,e\n\n",
    ],
)
def test_read_csv_accepts_files_of_excel(tmp_path, text):
    assert [r.row for r in read(tmp_path, text)] == PAIRS


def test_read_csv_ignores_quoted_delimiters_in_detection(tmp_path):
    [only] = read(tmp_path, '"prompt";"completion";"a, b, c, d"\n"x, y";"1,5";n\n')
    assert only.row == {"prompt": "x, y", "completion": "1,5", "a, b, c, d": "n"}


def test_read_csv_of_one_column_keeps_commas(tmp_path):
    found = read(tmp_path, 'text\nHello, you; there\nA | b\n"quoted, too"\n')
    assert [r.row["text"] for r in found] == ["Hello, you; there", "A | b", "quoted, too"]


def test_read_csv_header_alone_has_no_rows_and_wide_header_is_rejected(tmp_path):
    assert read(tmp_path, "prompt,completion\n") == []
    with pytest.raises(StudioError, match="10,001 columns"):
        read(tmp_path, ",".join(map(str, range(10_001))) + "\n1\n")
    with pytest.raises(StudioError, match="names of up to 2,000 characters"):
        read(tmp_path, "a," + "b" * 2000 + "\n1,2\n")


def test_read_tsv_stray_quotes_after_sample_lose_no_row(tmp_path):
    lines = [f'"{i}"\tfine' for i in range(300)] + ['"open\tstray', "last\tfine"]
    found = read(tmp_path, "a\tb\n" + "\n".join(lines) + "\n", "rows.tsv")
    assert len(found) == 302
    assert (found[300].row, found[301].row) == ({"a": '"open', "b": "stray"}, {"a": "last", "b": "fine"})
    assert "read as text" in found[300].trouble


TITLES = {
    "padded": "\ufeffFAQ export 2024;;\n;;\nQuestion;Answer;Ref\nHow?;So.;a\nWhy?;Because;b\nWhen?;Now;\n",
    "padded commas": "FAQ export,,\nQuestion,Answer,Ref\nHow?,So.,a\nWhy?,Because,b\nWhen?,Now,\n",
    "quoted": '"FAQ; our export";;\r\n\r\nQuestion;Answer;Ref\r\nHow?;So.;a\r\nWhy?;Because;b\r\nWhen?;Now;\r\n',
    "empty line above": ";;\nQuestion;Answer;Ref\nHow?;So.;a\nWhy?;Because;b\nWhen?;Now;\n",
    "sep": "sep=;\nFAQ export;;\nQuestion;Answer;Ref\nHow?;So.;a\nWhy?;Because;b\nWhen?;Now;\n",
}


@pytest.mark.parametrize("text", TITLES.values(), ids=TITLES)
def test_read_csv_skips_title_lines_above_header(tmp_path, text):
    path, notes = tmp_path / "rows.csv", []
    path.write_text(text, encoding="utf-8", newline="")
    rows = [found.row for found in read_rows(path, path.name, note=notes.append)]
    assert [list(row.values()) for row in rows] == [
        ["How?", "So.", "a"],
        ["Why?", "Because", "b"],
        ["When?", "Now", ""],
    ]
    assert list(rows[0]) == ["Question", "Answer", "Ref"]
    assert any("stands above the header" in note for note in notes) == ("FAQ" in text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FAQ export\nQuestion;Answer\nHow?;So.\nWhy?;Because\n", "all lines below it have 2 cells"),
        ("FAQ export;;\nAuthor;Anna;\nQuestion;Answer;Ref\nHow?;So.;a\nWhy?;Because;b\n", "most lines have 3"),
        (
            "FAQ export;;\nDate;2024;\nQuestion;Answer;Ref\nHow?;So.;a\nWhy?;Because;b\n",
            "not certain where the header is",
        ),
    ],
)
def test_read_csv_refuses_uncertain_title(tmp_path, text, words):
    with pytest.raises(StudioError, match=f"{words}.*emove the lines above the header"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (",text\nid1,hello\nid2,bye\n", ["column_1", "text"]),
        (",text\n0,hello\n1,bye\n", ["column_1", "text"]),
        ("text\nHello, world\nBye, world\nHi, there\n", ["text"]),
        ("value\n3,5\n4,7\n1,2\n", ["value"]),
    ],
)
def test_read_csv_takes_no_header_for_a_title(tmp_path, text, names):
    assert [list(found.row) for found in read(tmp_path, text)] == [names] * (text.count("\n") - 1)


@pytest.mark.parametrize("sections", [2, 4])
def test_read_csv_skips_repeated_headers_with_note(tmp_path, sections):
    path, notes = tmp_path / "rows.csv", []
    path.write_text("\n".join(["question,answer\nHow?,So.\nWhy?,Because\n"] * sections))
    rows = [found.row for found in read_rows(path, path.name, note=notes.append)]
    assert rows == [{"question": "How?", "answer": "So."}, {"question": "Why?", "answer": "Because"}] * sections
    count = "1 line repeats" if sections == 2 else "3 lines repeat"
    assert notes == [f"{count} the header (the first is line 5); skipped, as a header is no row"]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("q,a,,\nHow?,So.,,x0\nWhy?,Now.,,x1\n", [["How?", "So.", "", "x0"], ["Why?", "Now.", "", "x1"]]),
        (
            "q,a,\nHow?,So.\nWhy?,Now.,\nWho?,Me.,note\n",
            [["How?", "So.", ""], ["Why?", "Now.", ""], ["Who?", "Me.", "note"]],
        ),
        ("q,a,,\nHow?,So.,,\nWhy?,Now.,,\n", [["How?", "So."], ["Why?", "Now."]]),
    ],
)
def test_read_csv_names_columns_at_the_end_by_position_if_they_hold_values(tmp_path, text, rows):
    found = read(tmp_path, text)
    assert [list(r.row.values()) for r in found] == rows
    assert list(found[-1].row) == ["q", "a", "column_3", "column_4"][: len(rows[-1])]


REMARKS = {
    "brackets": "Question,Answer\n(free text),(max. 200 words)\n",
    "square brackets": "Question,Answer\n[required],[optional]\n",
    "types": "Question,Answer\nstring,varchar(200)\n",
    "a rule": "Question,Answer\n--------,------\n",
    "types and a rule": "Question,Answer\nTEXT,TEXT\n====,====\n",
    "a survey": "Question,Answer\nOpen-Ended Response,Response\n",
    "a survey with ids": 'Question,Answer\nWhat do you ask?,"So?"\n"{""ImportId"":""a""}","{""ImportId"":""b""}"\n',
}


@pytest.mark.parametrize("text", REMARKS.values(), ids=REMARKS)
def test_read_csv_skips_remarks_below_header(tmp_path, text):
    path, notes = tmp_path / "rows.csv", []
    path.write_text(text + "How?,So.\nWhy?,Because.\nWhen?,Now.\n")
    rows = [found.row for found in read_rows(path, path.name, note=notes.append)]
    assert [list(row.values()) for row in rows] == [["How?", "So."], ["Why?", "Because."], ["When?", "Now."]]
    assert len(notes) == text.count("\n") - 1
    assert all("describes the columns" in note for note in notes)


@pytest.mark.parametrize(
    "first",
    [
        "(yes),no",
        "(a),(b)\n(c),(d)\n(e),(f)",
        "text,label",
        "--,so",
        "(free text),",
        "What is a string?,text",
        "<b>Hi</b>,So",
    ],
)
def test_read_csv_keeps_first_rows_that_are_no_remarks(tmp_path, first):
    found = read(tmp_path, f"Question,Answer\n{first}\nHow?,So.\nWhy?,Because.\n")
    assert len(found) == first.count("\n") + 3


@pytest.mark.parametrize("character", ["\x1f", "\x1e", "\x00", "\u2028", "\ue000"])
def test_separated_text_of_one_column_keeps_every_character(tmp_path, character):
    path = tmp_path / "one.csv"
    path.write_text(f"text\nred{character}\nblue {character} green\n", encoding="utf-8")
    assert [read.row for read in read_rows(path, path.name)] == [
        {"text": f"red{character}"}, {"text": f"blue {character} green"}
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_separated_cell_of_a_backslash_and_n_is_missing_with_note(tmp_path, name):
    path, notes = tmp_path / name, []
    cells = "\t" if name.endswith(".tsv") else ","
    path.write_text(f"question{cells}answer\nWhy?{cells}\\N\n\\N{cells}So \\N.\n")
    found = list(read_rows(path, name, note=notes.append))
    assert [row.row for row in found] == [{"question": "Why?", "answer": None}, {"question": None, "answer": "So \\N."}]
    assert notes == ["2 cells are \\N, which databases write for a missing value, and read as missing"]
