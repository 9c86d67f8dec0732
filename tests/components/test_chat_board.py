"""The chat board: escaped text, buttons with their events, marked differences and probabilities."""

import html
import re

import pytest
from hypothesis import given

from components.chat_board import (
    VERDICTS,
    Action,
    AnswerCard,
    BoardTurn,
    board_html,
    invitation_html,
    live_cards,
    probabilities,
)
from tests.helpers.hostile_text import TEXT, ParsedHtml

EVIL = '<img src=x onerror="alert(1)"> & <script>1</script>'


def plain(shown):
    return html.unescape(re.sub(r"<[^>]*>", "", shown))


@pytest.mark.parametrize("card", [
    AnswerCard("Base", EVIL),
    AnswerCard(EVIL, "x", facts=EVIL, note=EVIL, placeholder=EVIL),
    AnswerCard("Base", EVIL, marked=[(EVIL, True), (EVIL, False)]),
    AnswerCard("Base", EVIL, heat=[(EVIL, 0.5)]),
    AnswerCard("Base", "x", shares=[(EVIL, 0.5)]),
    AnswerCard("Base", "x", key=EVIL, actions=[Action("why", "Why?", EVIL)]),
])  # fmt: skip
def test_board_html_escapes_every_value(card):
    for shown in (board_html([BoardTurn(0, EVIL, [card], vote=EVIL), BoardTurn(1, EVIL, [card], no_vote_reason=EVIL)]),
                  invitation_html(EVIL, [EVIL], EVIL)):  # fmt: skip
        assert "<img" not in shown
        assert "<script" not in shown
        assert 'onerror="' not in shown


def test_board_html_question_is_above_answers_with_keyed_buttons():
    cards = [
        AnswerCard("Base", "A.", "3 0", actions=[Action("copy", "Copy", "Copy it")]),
        AnswerCard("Tuned", "B.", "3 1"),
    ]
    shown = board_html([BoardTurn(3, "Why?", cards)])
    assert shown.index("Why?") < shown.index("A.") < shown.index("B.")
    assert 'data-event="edit" data-value="3"' in shown
    assert 'data-event="copy" data-value="3 0"' in shown
    assert "--lanes:2" in shown
    assert "Which answer is better?" not in shown


def test_board_html_vote_buttons_have_keys_until_there_is_a_vote():
    shown = board_html([BoardTurn(0, "Why?", can_vote=True)])
    for key, verdict in enumerate(VERDICTS, 1):
        assert f'data-event="vote" data-key="{key}" data-value="{verdict}"' in shown
    voted = board_html([BoardTurn(0, "Why?", vote="Your vote: left.")])
    assert 'data-event="undo_vote" data-value="0"' in voted
    assert 'data-event="vote"' not in voted


def test_board_html_heat_is_stronger_for_unlikely_tokens():
    found = probabilities(["Hi", "."], [0.0, -2.302585])
    assert found == [("Hi", 1.0), (".", pytest.approx(0.1))]
    shown = board_html([BoardTurn(0, "?", [AnswerCard("Base", "Hi.", heat=found)])])
    assert '--p:0%" title="100.0%">Hi<' in shown
    assert '--p:63%" title="10.0%">.<' in shown
    assert "Hi." in plain(shown)


def test_board_html_labels_are_bars_in_place_of_the_text():
    card = AnswerCard("Tuned", "positive", "0 1", shares=[("positive", 0.931), ("negative", 0.069)])
    shown = board_html([BoardTurn(0, "Good film", [card])])
    assert re.findall(r'<li style="--p:([\d.]+)%"><span>(\w+)</span> <b>([\d.]+%)</b>', shown) == [
        ("93.1", "positive", "93.1%"), ("6.9", "negative", "6.9%"),
    ]  # fmt: skip
    assert shown.count("positive") == 1


def test_board_html_missing_answer_shows_its_placeholder():
    assert "No answer yet." in plain(
        board_html([BoardTurn(0, "?", [AnswerCard("Base", "", placeholder="No answer yet.")])])
    )
    assert board_html([]) == ""


def test_invitation_html_suggestions_have_their_index():
    shown = invitation_html("Ask.", ["One?", "Two?"], "It takes a while.")
    assert 'data-event="suggest" data-value="1" dir="auto">Two?<' in shown
    assert plain(shown) == "Ask.One?Two?It takes a while."


@given(TEXT, TEXT)
def test_board_html_is_well_formed_and_keeps_the_text(prompt, answer):
    page = ParsedHtml(board_html([BoardTurn(0, prompt, [AnswerCard("Base", answer)])]))
    assert page.text == f"{prompt}EditBase{answer}"


def test_live_cards_name_what_a_card_waits_for():
    (card,) = live_cards([AnswerCard("", "", "0 1", placeholder="Loading tiny · 3 s")], {})
    assert card == {"key": "0 1", "at": 0, "text": "", "facts": "", "wait": "Loading tiny · 3 s"}


def test_board_html_action_without_event_is_disabled():
    shown = board_html([BoardTurn(0, "?", [AnswerCard("Base", "", "0 0", actions=[Action("", "Stopping…", "Soon")])])])
    assert '<button disabled title="Soon">Stopping…</button>' in shown
