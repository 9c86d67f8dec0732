"""Whatever stands in the data, the page shows it as text: no tag but our own, no attribute but our own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.conversation import chips_html, conversation_html, empty_html, raw_html, secondary_html, tokens_html
from tests.helpers.hostile_text import TEXT, ParsedHtml


def test_the_reader_sees_what_is_live():
    page = ParsedHtml("<p>a<img src=x onerror=alert(1)></img></p>")
    assert ("img", {"src": "x", "onerror": "alert(1)"}) in page.tags
    with pytest.raises(AssertionError):
        ParsedHtml("<!-- hidden -->")


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"role": TEXT, "content": TEXT}, optional={"loss": st.booleans()}), max_size=4))
def test_a_conversation_is_shown_word_for_word_and_inert(messages):
    page = ParsedHtml(conversation_html(messages))
    expected = [("div", {"class": "qs-talk"})]
    for message in messages:
        expected += [("div", {"class": f"qs-turn {message['role']}", "dir": "auto"}), ("small", {})]
        expected += [("em", {})] * (message.get("loss") is False)
    assert page.tags == expected
    badge = {False: "not learned"}
    assert page.text == "".join(m["role"] + badge.get(m.get("loss"), "") + m["content"] for m in messages)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.booleans()), max_size=6), st.none() | st.integers(1, 7))
def test_tokens_are_shown_piece_by_piece_and_inert(pieces, cut):
    page = ParsedHtml(tokens_html(pieces, cut))
    spans = [
        ("span", {"class": role + " loss" * learned, "title": role + ", carries loss" * learned})
        for _, role, learned in pieces
    ]
    shown = [text.replace("\n", "↵\n") or "·" for text, _, _ in pieces]
    line = []
    if cut is not None and cut < len(pieces):
        line = [("div", {"class": "cut"}), ("div", {"class": "past"})]
        shown.insert(cut, f"cut off here, at {cut:,} tokens")
        spans[cut:cut] = line
    assert page.tags == [("div", {"class": "qs-tokens", "dir": "auto"}), *spans]
    assert page.text == "".join(shown)


@settings(deadline=None)
@given(TEXT)
def test_raw_text_and_empty_notes_are_inert(text):
    raw, empty, second = ParsedHtml(raw_html(text)), ParsedHtml(empty_html(text)), ParsedHtml(secondary_html(text))
    assert second.tags == [("div", {"class": "qs-second"})]
    assert raw.tags == [("div", {"class": "qs-raw", "dir": "auto"})]
    assert empty.tags == [("div", {"class": "qs-empty"})]
    assert raw.text == empty.text == second.text == text


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.booleans()), max_size=4))
def test_chips_are_inert_and_warnings_stand_out(chips):
    page = ParsedHtml(chips_html(chips))
    expected = [("div", {"class": "qs-chips"})]
    for _, _, warns in chips:
        expected += [("span", {"class": "qs-chip warn" if warns else "qs-chip"}), ("b", {})]
    assert page.tags == expected
    assert page.text == "".join(f"{number} {words}" for number, words, _ in chips)
