"""Values of cells: missing, nested in text, and of other types."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.formats import UnusableRow
from core.data.formats.values import answer_of, is_missing, nested, optional_text, text_of

TURNS = [{"role": "user", "content": 'It\'s "here"?\nYes'}, {"role": "assistant", "content": "Ja\\n"}]


@pytest.mark.parametrize(
    "value",
    [
        None,
        math.nan,
        "",
        " ",
        "null",
        "None",
        "NaN",
        "nan",
        "<NA>",
        "{}",
        "[]",
        "<noinput>",
        r"\N",
        [],
        {},
        [None],
        {"a": None},
    ],
)
def test_is_missing_accepts_every_spelling_of_nothing(value):
    assert is_missing(value)


@pytest.mark.parametrize("value", [0, False, 0.0, "0", "none of them", [0], {"a": 0}, "N/A", "[ ]x"])
def test_is_missing_rejects_real_values(value):
    assert not is_missing(value)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(TURNS),
        json.dumps(TURNS, indent=2, sort_keys=True),
        f"  \n{json.dumps(TURNS)}\n",
        "\ufeff" + json.dumps(TURNS),
        repr(TURNS),
        # pandas writes a NumPy array of dicts like this.
        str(TURNS).replace("}, {", "}\n {"),
        f"array({TURNS}, dtype=object)",
    ],
)
def test_nested_parses_conversation_in_text_cell(text):
    assert nested(text) == TURNS


@pytest.mark.parametrize(
    "text", ["[1] a note", "{name} said so", "[INST] a [/INST]", "[" * 100_000, "(1, 2)", "a", "[x]", "12"]
)
def test_nested_keeps_ordinary_text(text):
    assert nested(text) == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5).map(lambda v: [v]))
def test_nested_parses_json_and_python_literals(value):
    assert nested(json.dumps(value)) == value
    assert nested(repr(value)) == value


@pytest.mark.parametrize("value", [["", " "], ["a", "  'b'"], ["it's", ' "so" '], ["a\\", " 'b'"]])
def test_nested_keeps_spaces_at_the_start_of_texts(value):
    assert nested(repr(value)) == value


@pytest.mark.parametrize(
    ("value", "text", "note"),
    [
        ("a", "a", None),
        (21, "21", "a number"),
        (2.5, "2.5", "a number"),
        (True, "true", "a flag"),
        (["a"], "a", None),
        (["a", "b"], "a\nb", "a list of texts"),
        (["a", 1], '["a", 1]', "a list"),
        ({"k": "é"}, '{"k": "é"}', "an object"),
    ],
)
def test_text_of_converts_any_type_with_note(value, text, note):
    notes = []
    assert text_of(value, "input", notes.append) == text
    assert [note is not None and note in sentence for sentence in notes] == [True] * (note is not None)


@pytest.mark.parametrize("value", [[], {}, [None], [[]], [""], {"a": None}])
def test_text_of_empty_list_or_object_is_unusable(value):
    for read in (text_of, answer_of):
        with pytest.raises(UnusableRow, match="the answer is empty"):
            read(value, "the answer", pytest.fail)


def test_text_of_missing_value_is_unusable():
    for value in (None, math.nan):
        with pytest.raises(UnusableRow, match="input is empty"):
            text_of(value, "input", print)


def test_optional_text_spelled_nothing_is_empty_with_note():
    notes = []
    assert [optional_text(value, "the tools", notes.append) for value in ("null", None, "", "x", 3)] == [
        "",
        "",
        "",
        "x",
        "3",
    ]
    assert notes == ["the tools 'null' is read as empty", "the tools is a number; it is written as text"]


def test_answer_of_accepted_answers_takes_first_with_note():
    notes = []
    assert answer_of(["a", "b"], "output", notes.append) == "a"
    assert answer_of(["a", "a"], "output", notes.append) == "a"
    assert answer_of({"text": ["c"], "answer_start": [3]}, "output", notes.append) == "c"
    assert notes == ["output is a list of answers; the first is used", "the field 'answer_start' of output is not used"]
    with pytest.raises(UnusableRow, match="output is empty"):
        answer_of({"text": []}, "output", notes.append)


@pytest.mark.parametrize(
    ("value", "noted"),
    [("['The', 'moon']", True), ('["a"]', True), ("[1, 2]", False), ("[link](x)", False), ('{"a": "b"}', False)],
)
def test_answer_of_notes_list_of_texts_written_as_text(value, noted):
    notes = []
    assert answer_of(value, "output", notes.append) == value
    assert notes == ["output is a list of texts written as text; brackets and quotes are trained as they are"] * noted


EMPTY_ANSWERS = (
    "NULL", "N/A", r"\N", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#GETTING_DATA!", "#ERROR!", "#BEZUG!",
    "#NV", "Err:502", "(blank)", "undefined", "[deleted]", "[removed]", "TBD", " todo ", "...", "-",
)  # fmt: skip


@pytest.mark.parametrize("value", EMPTY_ANSWERS)
def test_answer_of_notes_error_or_filler_as_whole_answer(value):
    notes = []
    assert answer_of(value, "output", notes.append) == value
    assert answer_of([value], "output", notes.append) == value
    assert notes == [f"output is {value.strip()!r}, which may stand for no answer; it is read as text"] * 2


@pytest.mark.parametrize("value", ["#1", "# Title!", "Nothing.", "0", "false", "No", "#REF! is lost.", "Au", "[x]"])
def test_answer_of_notes_no_short_answer(value):
    assert answer_of(value, "output", pytest.fail) == value


LISTED = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]


@pytest.mark.parametrize(
    "value",
    [
        {"role": ["user", "assistant"], "content": ["Why?", "So."]},
        '{"role": ["user", "assistant"], "content": ["Why?", "So."]}',
        "{'role': ['user', 'assistant'], 'content': ['Why?', 'So.']}",
    ],
)
def test_nested_object_of_lists_holds_turns(value):
    assert nested(value) == LISTED


def test_nested_object_of_lists_keeps_other_fields_of_turns():
    value = {"speaker": ["user", "bot"], "utterance": ["Why?", "So."], "weight": [0, 1]}
    assert nested(value)[1] == {"speaker": "bot", "utterance": "So.", "weight": 1}


@pytest.mark.parametrize(
    "value",
    [
        {"role": ["user"], "content": ["Why?", "So."]},
        {"role": [0, 1], "content": ["Why?", "So."]},
        {"role": [], "content": []},
        {"role": ["user"], "content": ["Why?"], "id": 3},
        {"role": "user", "content": "Why?"},
        {"title": ["a"], "content": ["b"]},
    ],
)
def test_nested_other_objects_stay(value):
    assert nested(value) is value
