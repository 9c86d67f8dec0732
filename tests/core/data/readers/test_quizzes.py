"""Quizzes of Moodle in GIFT and Aiken: each question is a row, and nothing of it is lost."""

import pytest

from core.data.readers import read_rows
from core.data.readers.gift import parse_question

AIKEN = "Which port is HTTPS?\nA. 80\nB. 443\nC. 21\nANSWER: B\n"
SECOND = "What gives addresses?\nA) DHCP\nB) DNS\nANSWER: a\n"
GIFT = "::One:: How old is it? {=Ten ~Two#No. ~Six}\n"


def read(folder, text, name="quiz.txt"):
    path, notes = folder / name, []
    path.write_text(text)
    return list(read_rows(path, name, note=notes.append)), notes


@pytest.mark.parametrize("between", ["\n", "", "\n\n"])
def test_questions_of_aiken_are_rows(tmp_path, between):
    found, notes = read(tmp_path, AIKEN + between + SECOND)
    assert [one.row for one in found] == [
        {"question": "Which port is HTTPS?", "choices": ["80", "443", "21"], "answer": "B"},
        {"question": "What gives addresses?", "choices": ["DHCP", "DNS"], "answer": "A"},
    ]
    assert notes == ["'quiz.txt' is a quiz of Moodle (Aiken); each question is a row"]


def test_block_that_is_no_question_is_reported_with_its_line(tmp_path):
    found, _ = read(tmp_path, (AIKEN + SECOND) * 4 + "Only a question?\nA. One\nB. Two\n")
    assert [(one.line, one.trouble) for one in found[-1:]] == [(37, "is no question of a quiz (Aiken)")]


QUESTIONS = {
    "one right": (GIFT, ("How old is it?", ("Ten", "Two", "Six"), ("Ten",), 0, "One", "No.")),
    "true": ("It floats. {T}", ("It floats.", ("True", "False"), ("True",), 0, "", "")),
    "false with a remark": ("It sinks. {FALSE#It floats.}", ("It sinks.", ("True", "False"), ("False",), 1, "",
                                                            "It floats.")),
    "a number": ("How many? {#46:0}", ("How many?", (), ("46",), None, "", "")),
    "several numbers": ("How many? {#=46:1 =%50%45:2}", ("How many?", (), ("46", "45"), None, "", "")),
    "short answers": ("Name it. {=%50%sea =ocean}", ("Name it.", (), ("ocean", "sea"), None, "", "")),
    "several right": ("Which? {~%50%One ~%50%Two ~%-100%Three}", ("Which?", ("One", "Two", "Three"), ("One\nTwo",),
                                                                 None, "", "")),
    "weights": ("Which? {~%100%One ~%0%Two}", ("Which?", ("One", "Two"), ("One",), 0, "", "")),
    "pairs": ("Match. {=b -> 2 =a -> 1}", ("Match.", ("b", "a", "", "1", "2"), ("b -> 2\na -> 1",), None, "", "")),
    "a gap": ("The {=moon ~sun} pulls.", ("The _____ pulls.", ("moon", "sun"), ("moon",), 0, "", "")),
    "an essay": ("Describe it. {}", ("Describe it.", (), (), None, "", "")),
    "a description": ("::Title:: Read this.", ("Read this.", (), (), None, "Title", "")),
    "escaped signs": (r"Is \{x\} \= 2\: y? {=\~1 ~\#2}", ("Is {x} = 2: y?", ("~1", "#2"), ("~1",), 0, "", "")),
    "HTML": ("[html]<b>Which?</b> {=One ~Two####Read again.}", ("<b>Which?</b>", ("One", "Two"), ("One",), 0, "",
                                                                "Read again.")),
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_of_gift_is_parsed(name):
    text, expected = QUESTIONS[name]
    assert parse_question(text.strip()) == expected


@pytest.mark.parametrize("text", ["Some prose.", "A set {a, b} of letters.", "{=One ~Two}"])
def test_other_text_is_no_question_of_gift(text):
    assert parse_question(text) is None


def test_comments_and_categories_of_gift_are_no_questions(tmp_path):
    found, _ = read(tmp_path, f"// remark\n$CATEGORY: Sea/Ships\n\n{GIFT}\nIt floats. {{T}}\n")
    assert [one.row for one in found] == [
        {"question": "How old is it?", "choices": ["Ten", "Two", "Six"], "answer": "A", "title": "One",
         "category": "Sea/Ships", "feedback": "No."},
        {"question": "It floats.", "choices": ["True", "False"], "answer": "A", "category": "Sea/Ships"},
    ]  # fmt: skip


def test_choices_stand_in_the_question_where_not_all_have_them(tmp_path):
    found, _ = read(tmp_path, f"{GIFT}\nHow many? {{#=3 =4}}\n\nDescribe it. {{}}\n\nWhy? {{=So}}\n\nWho? {{=I}}\n")
    assert [one.row["question"] for one in found[:2]] == ["How old is it?\n\nTen\nTwo\nSix", "How many?"]
    assert [one.row["answer"] for one in found] == ["Ten", "3", None, "So", "I"]
    assert found[1].row["other_answers"] == ["4"]


@pytest.mark.parametrize("text", ["The {sea}.\n\nThe {sky}.\n", "A. One\n\nB. Two\n\nANSWER: that is it\n"])
def test_prose_is_no_quiz(tmp_path, text):
    found, notes = read(tmp_path, text)
    assert all(list(one.row) == ["text"] for one in found)
    assert not any("Moodle" in note for note in notes)
