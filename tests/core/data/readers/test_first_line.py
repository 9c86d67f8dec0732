"""The first line of a table: names of columns, a row, or a line that is quoted in a note."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.readers import first_line, read_rows

WORDS = st.sampled_from(
    ["the", "tide", "is", "late", "who", "keeps", "a", "light", "salt,", "answer", "text", "I'm", "海"]
)
PHRASES = st.lists(WORDS, min_size=3, max_size=8).map(" ".join)
KINDS = {
    "sentences": st.tuples(PHRASES, st.sampled_from(".?!")).map("".join),
    "phrases": PHRASES,
    "sentences without spaces": st.text("灯台守海月光", min_size=4, max_size=20).map(lambda text: f"{text}。"),
    "codes": st.from_regex(r"[A-Z]{1,3}[-_./]?[0-9]{1,5}", fullmatch=True),
    "dates": st.dates().map(str),
    "numbers": st.integers().map(str) | st.floats(-1e6, 1e6).map(lambda number: f"{number:.2f}"),
    "words": st.sampled_from(["dog", "cat", "bird", "whale"]),
}


def read(folder, text, name="rows.csv"):
    path, notes = folder / name, []
    path.write_text(text, encoding="utf-8", newline="")
    return list(read_rows(path, name, note=notes.append)), notes


def written(rows, delimiter=","):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


@given(st.data())
def test_row_of_a_table_without_a_header_is_read_or_a_note_quotes_it(tmp_path_factory, data):
    kinds = data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=4))
    rows = data.draw(st.lists(st.tuples(*(KINDS[kind] for kind in kinds)), min_size=2, max_size=12, unique=True))
    name = data.draw(st.sampled_from(["rows.csv", "rows.tsv"]))
    text = written(rows, "\t" if name.endswith(".tsv") else ",")
    found, notes = read(tmp_path_factory.mktemp("h"), text, name)
    assert len(found) == len(rows) or any("line 1 (" in note for note in notes)


def test_rows_that_look_like_groups_above_names_are_quoted(tmp_path):
    found, notes = read(tmp_path, written([("A0", "A0", "A00"), ("A00", "A0", "A0"), ("A0", "E8", "A00")]))
    assert len(found) == 1
    assert any("line 1 ('A0, A0, A00')" in note for note in notes)


WITHOUT = {
    "questions and answers": [
        ("Who keeps the light?", "The keeper."),
        ("Why?", "So."),
        ("What is a tide?", "The sea."),
    ],
    "a dialog": [("hi, how are you?", "i'm fine. and you?"), ("i'm fine. and you?", "good."), ("good.", "how so?")],
    "Japanese": [("首都は？", "東京です。"), ("海は？", "青いです。"), ("月は？", "白いです。")],
    "codes": [("KX-77", "Paris"), ("AB-12", "Rome"), ("CD-90", "Oslo")],
    "dates": [("2024-02-13", "rain"), ("2024-02-14", "sun"), ("2024-02-15", "snow")],
    "numbers": [("1", "rain"), ("2", "sun"), ("3", "snow")],
}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", WITHOUT)
def test_columns_of_a_table_without_a_header_are_numbered(tmp_path, name, delimiter):
    found, notes = read(tmp_path, written(WITHOUT[name], delimiter))
    assert [tuple(read.row.values()) for read in found] == WITHOUT[name]
    assert list(found[0].row) == ["column_1", "column_2"]
    assert notes == ["the first line looks like a row, not like names of columns; the columns are numbered"]


TEXTS = [
    ("Who keeps the light at the end of the pier?", "The keeper does, and he does so alone."),
    ("Why is the sea in front of it so salty?", "Rivers carry salt from the land into it."),
    ("What do people here call a tide?", "The water that rises and falls twice a day."),
]
NAMES = {
    "usual names": (("question", "answer"), TEXTS),
    "usual names with numbers": (("Question 1", "Answer 1"), TEXTS),
    "letters": (("Q", "A"), TEXTS),
    "German": (("Frage", "Antwort"), TEXTS),
    "Japanese": (("質問", "回答"), TEXTS),
    "short words above long texts": (("Customer", "Our staff"), TEXTS),
    "identifiers": (("customer_says", "staffSays"), [("Hi", "Yes"), ("Ho", "No"), ("Hm", "So")]),
    "words above numbers": (("toxic", "obscene"), [("0", "1"), ("1", "0"), ("0", "0")]),
    "one usual name": (("text", "toxic"), [("Hi", "x"), ("Ho", "y"), ("Hm", "z")]),
}


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_header_stays_one_without_a_note(tmp_path, name):
    header, rows = NAMES[name]
    found, notes = read(tmp_path, written([header, *rows]))
    assert [tuple(read.row) for read in found] == [header] * 3
    assert notes == []


UNSURE = {
    "a survey": (
        ("What do you do?", "Where do you live?"),
        [("I fish.", "In Oslo."), ("I sail.", "At sea."), ("No.", "X")],
    ),
    "a dictionary": (("sea", "mer"), [("dog", "chien"), ("bird", "oiseau"), ("whale", "baleine")]),
    "questions by number": (("Q1", "Q2"), [("A1", "B2"), ("C3", "D4"), ("E5", "F6")]),
}


@pytest.mark.parametrize("name", UNSURE)
def test_line_that_may_be_a_row_is_read_as_names_with_a_note(tmp_path, name):
    header, rows = UNSURE[name]
    found, notes = read(tmp_path, written([header, *rows]))
    assert [tuple(read.row) for read in found] == [header] * 3
    shown = repr(", ".join(header))
    assert notes == [
        f"line 1 ({shown}) is read as the names of the columns; if it is a row, write a line of names above it"
    ]


@pytest.mark.parametrize(
    ("name", "stem"), [("text_1", "text_"), ("answer12", "answer"), ("über - 3", "über"), ("a1", None)]
)
def test_numbered_name_is_found_in_linear_time(name, stem):
    found = first_line._NUMBERED.fullmatch(name)
    assert (found and found[1]) == stem
    # Seven minutes if each way to divide the underscores is tried.
    assert first_line._NUMBERED.fullmatch("_" * 200_000) is None
