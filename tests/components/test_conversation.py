"""Conversations, tokens and notes as HTML: values appear as text, never as tags or attributes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.conversation import chips_html, conversation_html, empty_html, raw_html, secondary_html, tokens_html
from tests.helpers.hostile_text import TEXT, ParsedHtml


def test_parsed_html_finds_tags_and_rejects_comments():
    page = ParsedHtml("<p>a<img src=x onerror=alert(1)></img></p>")
    assert ("img", {"src": "x", "onerror": "alert(1)"}) in page.tags
    with pytest.raises(AssertionError, match="no comment"):
        ParsedHtml("<!-- hidden -->")


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"role": TEXT, "content": TEXT}, optional={"loss": st.booleans()}), max_size=4))
def test_conversation_html_shows_roles_badges_and_text(messages):
    page = ParsedHtml(conversation_html(messages))
    expected = [("div", {"class": "qs-talk"})]
    for message in messages:
        expected += [("div", {"class": f"qs-turn {message['role']}", "dir": "auto"}), ("small", {})]
        expected += [("em", {})] * (message.get("loss") is False)
    assert page.tags == expected
    badge = {False: "not trained on"}
    assert page.text == "".join(m["role"] + badge.get(m.get("loss"), "") + m["content"] for m in messages)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.booleans()), max_size=6), st.none() | st.integers(1, 7))
def test_tokens_html_shows_each_token_and_the_limit(pieces, limit):
    page = ParsedHtml(tokens_html(pieces, limit))
    spans = [
        ("span", {"class": role + " loss" * has_loss, "title": role + ", carries loss" * has_loss})
        for _, role, has_loss in pieces
    ]
    shown = [text.replace("\n", "↵\n") or "·" for text, _, _ in pieces]
    line = []
    if limit is not None and limit < len(pieces):
        line = [("div", {"class": "cut"}), ("div", {"class": "past"})]
        shown.insert(limit, f"truncated here, at {limit:,} tokens")
        spans[limit:limit] = line
    assert page.tags == [("div", {"class": "qs-tokens", "dir": "auto"}), *spans]
    assert page.text == "".join(shown)


@settings(deadline=None)
@given(TEXT)
def test_raw_empty_and_secondary_html_show_text(text):
    raw, empty, second = ParsedHtml(raw_html(text)), ParsedHtml(empty_html(text)), ParsedHtml(secondary_html(text))
    assert second.tags == [("div", {"class": "qs-second"})]
    assert raw.tags == [("div", {"class": "qs-raw", "dir": "auto"})]
    assert empty.tags == [("div", {"class": "qs-empty"})]
    assert raw.text == empty.text == second.text == text


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.booleans()), max_size=4))
def test_chips_html_shows_facts_and_marks_warnings(chips):
    page = ParsedHtml(chips_html(chips))
    expected = [("div", {"class": "qs-chips"})]
    for _, _, warns in chips:
        expected += [("span", {"class": "qs-chip warn" if warns else "qs-chip"}), ("b", {})]
    assert page.tags == expected
    assert page.text == "".join(f"{number} {words}" for number, words, _ in chips)
