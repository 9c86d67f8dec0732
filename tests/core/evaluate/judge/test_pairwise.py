"""Tests of core.evaluate.judge.pairwise."""

import time

import pytest

from core.evaluate.judge.pairwise import build_questions, is_consistent, parse_choice, preference


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("A", "A"),
        ("b", "B"),
        ("TIE", "tie"),
        ("Tie.", "tie"),
        ("[[A]]", "A"),
        ("**B**", "B"),
        ('"A"', "A"),
        ("Answer B", "B"),
        ("Answer A is better.", "A"),
        ("Verdict: B", "B"),
        ("Final verdict: **TIE**", "tie"),
        ("Both are good, but B is shorter.\n\nThe facts of A are right.\n\nA", "A"),
        ("A\nBecause it is longer.", "A"),
        ("", None),
        ("I cannot decide.", None),
        ("A good answer would name the year.", None),
        ("Both", None),
        ("AB", None),
        ("C", None),
        ("答案 A 更好，因为它更准确。", None),
    ],
)
def test_parse_choice_takes_the_last_line_that_is_a_verdict(reply, choice):
    assert parse_choice(reply) == choice


@pytest.mark.parametrize(
    ("choices", "preferred", "consistent"),
    [
        (("A", "B"), "first", True),
        (("B", "A"), "second", True),
        (("A", "A"), "tie", False),
        (("B", "B"), "tie", False),
        (("tie", "tie"), "tie", True),
        (("A", "tie"), "tie", False),
        (("tie", "A"), "tie", False),
    ],
)
def test_preference_needs_both_orders(choices, preferred, consistent):
    assert preference(choices) == preferred
    assert is_consistent(choices) == consistent


def test_questions_exchange_the_answers_and_leave_out_an_empty_reference():
    first, second = build_questions(7, [{"role": "user", "content": "Why?"}], " ", ("one", "two"))
    assert (first.order, second.order) == (0, 1)
    assert "[Answer A]\none" in first.messages[1]["content"]
    assert "[Answer A]\ntwo" in second.messages[1]["content"]
    assert "[Reference]" not in first.messages[1]["content"]
    assert "[Reference]\nhere" in build_questions(7, [], "here", ("one", "two"))[0].messages[1]["content"]


def test_a_very_long_answer_is_cut_and_says_so():
    question = build_questions(0, [{"role": "user", "content": "Why?"}], "", ("a" * 100_000, "b"))[0]
    assert len(question.messages[1]["content"]) < 20_000
    assert "(cut)" in question.messages[1]["content"]


@pytest.mark.parametrize(
    "line", ["(" * 10**5, "verdict" + " " * 10**5 + "x", "[" * 10**5 + "A", "A" + "!" * 10**5 + " x"]
)
def test_a_long_line_is_no_verdict_and_takes_no_time(line):
    began = time.process_time()
    assert parse_choice(f"B\n{line}") == "B"
    assert time.process_time() - began < 0.5
