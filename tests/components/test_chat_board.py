"""The board of lanes: text is inert, buttons say what they stand for, differences and probabilities are marked."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.chat_board import VERDICTS, BoardTurn, LaneCard, board_html, differences, invitation_html, shares

EVIL = '<img src=x onerror="alert(1)"> & <script>1</script>'


def plain(shown):
    return html.unescape(re.sub(r"<[^>]*>", "", shown))


@pytest.mark.parametrize("card", [
    LaneCard("Base", EVIL),
    LaneCard(EVIL, "x", under=EVIL, note=EVIL, waiting=EVIL),
    LaneCard("Base", EVIL, marked=[(EVIL, True), (EVIL, False)]),
    LaneCard("Base", EVIL, heat=[(EVIL, 0.5)]),
    LaneCard("Base", "x", key=EVIL, actions=[("why", "Why?", EVIL)]),
])  # fmt: skip
def test_no_text_becomes_markup(card):
    for shown in (board_html([BoardTurn(0, EVIL, [card], voted=EVIL), BoardTurn(1, EVIL, [card], no_vote=EVIL)]),
                  invitation_html(EVIL, [EVIL], EVIL)):  # fmt: skip
        assert "<img" not in shown
        assert "<script" not in shown
        assert 'onerror="' not in shown


def test_a_question_stands_over_its_answers_and_each_button_says_which_it_is():
    cards = [LaneCard("Base", "A.", "3 0", actions=[("copy", "Copy", "Copy it")]), LaneCard("Tuned", "B.", "3 1")]
    shown = board_html([BoardTurn(3, "Why?", cards)])
    assert shown.index("Why?") < shown.index("A.") < shown.index("B.")
    assert 'data-event="edit" data-value="3"' in shown
    assert 'data-event="copy" data-value="3 0"' in shown
    assert "--lanes:2" in shown
    assert "Which answer is better?" not in shown


def test_votes_are_offered_with_their_keys_until_there_is_one():
    shown = board_html([BoardTurn(0, "Why?", vote=True)])
    for key, verdict in enumerate(VERDICTS, 1):
        assert f'data-event="vote" data-key="{key}" data-value="{verdict}"' in shown
    voted = board_html([BoardTurn(0, "Why?", voted="Your vote: left.")])
    assert 'data-event="unvote" data-value="0"' in voted
    assert 'data-event="vote"' not in voted


@given(st.text(max_size=60), st.text(max_size=60))
def test_differences_lose_nothing_and_equal_texts_have_none(first, second):
    left, right = differences(first, second)
    assert "".join(text for text, _ in left) == first
    assert "".join(text for text, _ in right) == second
    if first == second:
        assert not any(on for _, on in [*left, *right])
    same = [[text for text, on in side if not on] for side in (left, right)]
    assert "".join(same[0]) == "".join(same[1]), "what is not marked, both have"


def test_marked_words_are_the_ones_that_differ():
    left, right = differences("the lamp is lit", "the lamp was lit")
    assert [text for text, on in left if on] == ["is"]
    assert [text for text, on in right if on] == ["was"]
    assert "<mark>was</mark>" in board_html([BoardTurn(0, "?", [LaneCard("Tuned", "", marked=right)])])


def test_each_token_is_as_warm_as_it_was_unlikely():
    found = shares(["Hi", "."], [0.0, -2.302585])
    assert found == [("Hi", 1.0), (".", pytest.approx(0.1))]
    shown = board_html([BoardTurn(0, "?", [LaneCard("Base", "Hi.", heat=found)])])
    assert '--p:0%" title="100.0%">Hi<' in shown
    assert '--p:63%" title="10.0%">.<' in shown
    assert "Hi." in plain(shown)


def test_what_is_awaited_is_told_in_the_card():
    assert "No answer yet." in plain(board_html([BoardTurn(0, "?", [LaneCard("Base", "", waiting="No answer yet.")])]))
    assert board_html([]) == ""


def test_an_empty_board_offers_questions_by_their_place():
    shown = invitation_html("Ask.", ["One?", "Two?"], "It takes a while.")
    assert 'data-event="suggest" data-value="1" dir="auto">Two?<' in shown
    assert plain(shown) == "Ask.One?Two?It takes a while."
