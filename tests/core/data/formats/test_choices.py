"""Multiple choice: the answer is the text of the choice that a letter, a number or a text names."""

import json

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.choices import choice_columns, choices_of
from core.data.formats.detect import detect

TEXTS = ["first one", "second one", "third one", "fourth one"]
KEYS = [2, 0, 1, 3, 2, 1, 0, 3]
ASKED = [f"Which of these is number {i}?" for i in range(8)]
SHOWN = "A. first one\nB. second one\nC. third one\nD. fourth one"
LETTERS = dict(zip("ABCD", TEXTS, strict=True))


def rows_of(question="question", **columns):
    """Return eight rows; a function of the key of a row makes its value."""
    return [
        {question: ASKED[i]} | {name: make(KEYS[i]) if callable(make) else make for name, make in columns.items()}
        for i in range(8)
    ]


def letter(key):
    return "ABCD"[key]


NUMPY = "['first one' 'second one'\n 'third one' 'fourth one']"
OBJECTS = [{"label": label, "text": text} for label, text in LETTERS.items()]
READ = {
    "an index": rows_of(choices=TEXTS, answer=lambda key: key),
    "an index as text": rows_of(choices=TEXTS, answer=str),
    "an index as a decimal number": rows_of(choices=TEXTS, answer=float),
    "a letter": rows_of(choices=TEXTS, answer=letter),
    "a small letter": rows_of(options=TEXTS, answer=lambda key: "abcd"[key]),
    "a letter in brackets": rows_of(options=TEXTS, answer=lambda key: f"({letter(key)})"),
    "a letter with a word": rows_of(options=TEXTS, answer=lambda key: f"Option {letter(key)}."),
    "a list of one letter": rows_of(options=TEXTS, answers=lambda key: [letter(key)]),
    "the text of the choice": rows_of(options=TEXTS, answer=lambda key: TEXTS[key]),
    "answer_idx": rows_of(options=TEXTS, answer_idx=lambda key: key),
    "a label": rows_of(choices=TEXTS, label=lambda key: key),
    "endings": rows_of("ctx", endings=TEXTS, label=str),
    "JSON in a cell": rows_of(choices=json.dumps(TEXTS), answer=str),
    "a list of Python in a cell": rows_of(choices=str(TEXTS), answer=str),
    "an array of NumPy in a cell": rows_of(choices=NUMPY, answer=str),
    "ARC": rows_of(choices={"text": TEXTS, "label": list("ABCD")}, answerKey=letter),
    "ARC with numbers": rows_of(choices={"text": TEXTS, "label": list("1234")}, answerKey=lambda key: str(key + 1)),
    "ARC in a cell of pandas": rows_of(
        choices=f"{{'text': array({TEXTS}, dtype=object), 'label': array(['A', 'B', 'C', 'D'], dtype=object)}}",
        answerKey=letter,
    ),
    "an object of letters": rows_of(options=LETTERS, answer_idx=letter),
    "a list of objects": rows_of("question_stem", choices=OBJECTS, answerKey=letter),
    "columns of letters": rows_of(**LETTERS, answer=letter),
    "columns of small letters": rows_of(opa=TEXTS[0], opb=TEXTS[1], opc=TEXTS[2], opd=TEXTS[3], cop=lambda key: key),
    "numbers from 1": rows_of(
        option_1=TEXTS[0], option_2=TEXTS[1], option_3=TEXTS[2], option_4=TEXTS[3], answer=lambda key: str(key + 1)
    ),
    "an index in another language": rows_of("问题", 选项=TEXTS, 答案=letter),
}  # fmt: skip


@pytest.mark.parametrize("rows", READ.values(), ids=READ)
def test_detect_multiple_choice_reads_the_text_of_the_choice(rows):
    found = detect(rows)
    assert found.reading.format == "multiple_choice", found.evidence
    for row, asked, key in zip(rows, ASKED, KEYS, strict=True):
        parsed = found.reading.read(row)
        shown = SHOWN if "1. first one" not in parsed.messages[0]["content"] else _numbered()
        assert [m["content"] for m in parsed.messages] == [f"{asked}\n\n{shown}", TEXTS[key]]
        assert not parsed.unread


def _numbered():
    return "\n".join(f"{i}. {text}" for i, text in enumerate(TEXTS, 1))


ASKS = {
    "numbers of either count": (rows_of(choices=TEXTS, answer=lambda key: key % 3 + 1), "from 0 or from 1"),
    "both ends of either count": (rows_of(choices=TEXTS, answer=lambda key: key + key // 3), "from 0 or from 1"),
    "numbers that are choices": (rows_of(choices=["3", "2", "1", "0"], answer=str), "numbers or letters"),
    "a part of the question": (rows_of(choices=TEXTS, answer=letter, premise=lambda key: f"It is {key}."), "'premise'"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "words"), ASKS.values(), ids=ASKS)
def test_detect_unclear_choices_ask_and_offer_multiple_choice_first(rows, words):
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    assert words in found.evidence
    assert found.candidates[0].format == "multiple_choice"


def test_detect_two_counts_offers_both_readings():
    rows = ASKS["numbers of either count"][0]
    answers = [reading.parse(rows[0])[-1]["content"] for reading in detect(rows).candidates[:2]]
    assert answers == ["fourth one", "third one"]


UNUSABLE = {
    "past the last": ({"choices": TEXTS, "answer": 4}, "'4' is none of the 4 choices"),
    "negative": ({"choices": TEXTS, "answer": -1}, "'-1' is none of the 4 choices"),
    "a letter past the last": ({"choices": TEXTS, "answer": "E"}, "'E' is none of the 4 choices"),
    "a flag": ({"choices": TEXTS, "answer": True}, "'True' is none of the 4 choices"),
    "several": ({"choices": TEXTS, "answer": ["A", "B"]}, "is none of the 4 choices"),
    "no answer": ({"choices": TEXTS, "answer": ""}, "the answer is missing"),
    "no answer at all": ({"choices": TEXTS}, "the answer is missing"),
    "no choices": ({"choices": [], "answer": "A"}, "the choices are missing"),
    "one choice": ({"choices": ["a"], "answer": 0}, "the choices are no list"),
    "an empty column": ({"A": "a", "B": "b", "C": "", "D": "d", "answer": "C"}, "'C' is none of the 4 choices"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "why"), UNUSABLE.values(), ids=UNUSABLE)
def test_row_whose_answer_is_no_choice_is_unusable(row, why):
    with pytest.raises(UnusableRow, match=why):
        Reading(format="multiple_choice").parse({"question": "Which?"} | row)


def test_parse_choices_with_letters_of_their_own_keeps_them():
    row = {"question": "How many?", "options": ["A) 21", "B) 22", "C) 23"], "answer": "B"}
    messages = Reading(format="multiple_choice").parse(row)
    assert [m["content"] for m in messages] == ["How many?\n\nA) 21\nB) 22\nC) 23", "B) 22"]


@pytest.mark.parametrize("name", ["a_b", "B", "data", "option_b", "text_a"])
def test_choice_columns_other_names_are_none(name):
    assert choice_columns(name, dict.fromkeys([name, "C", "option_c", "text_b", "datb"], "x")) == []


@pytest.mark.parametrize(
    "row", [{"A": "Gull", "B": "Tern", "C": "None"}, {"choices": {"A": "Gull", "B": "Tern", "C": "None"}}]
)
def test_choice_spelled_like_a_missing_value_is_noted(row):
    found = Reading(format="multiple_choice").read({"question": "Which bird?", "answer": "A", **row})
    assert "the choice 'None' is read as empty" in found.notes


@pytest.mark.parametrize(
    "choices", [["Gull", "Tern", None], {"text": ["Gull", "Tern", None], "label": ["A", "B", "C"]}]
)
def test_null_in_a_list_of_choices_is_no_choice(choices):
    row = {"question": "Which bird?", "answer": "B", "choices": choices}
    question, answer = Reading(format="multiple_choice").parse(row)
    assert question["content"].endswith("A. Gull\nB. Tern")
    assert answer["content"] == "Tern"
    assert choices_of([None, False], lambda sentence: None) is None


def test_labels_that_prodigy_accepts_are_the_answer_and_are_shown_as_letters():
    options = [{"id": "BAKE", "text": "baking"}, {"id": "BUY", "text": "shopping"}]
    rows = [{"text": one, "options": options, "accept": [("BUY", "BAKE")[i % 2]], "answer": "accept"}
            for i, one in enumerate(ASKED)]  # fmt: skip
    reading = next(one for one in detect(rows).candidates if one.format == "multiple_choice")
    expected = f"{ASKED[0]}\n\nA. baking\nB. shopping"
    assert [one["content"] for one in reading.parse(rows[0])] == [expected, "shopping"]
