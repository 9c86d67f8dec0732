"""Whatever stands in the data, the page shows it as text: no tag but our own, no attribute but our own."""

import html.parser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.conversation import chips_html, conversation_html, empty_html, raw_html, tokens_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "[click](javascript:alert(1)) ![x](http://host/x.png)",
    "</div></div><iframe srcdoc='&lt;script&gt;'>",
    "<!-- comment --> <![CDATA[x]]> <?php ?> &lt;b&gt; &#60;b&#62; &amp",
    "${alert(1)} {{#each value}} `x`",
    "مرحبا\n\tline two\r\n 🎈",
]
TEXT = st.one_of(st.text(), st.sampled_from(HOSTILE), st.tuples(st.text(), st.sampled_from(HOSTILE)).map("".join))


class Page(html.parser.HTMLParser):
    """What a browser makes of it: tags with their attributes, text, and anything else that is markup."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.open, self.other = "", [], []
        self.feed(source)
        self.close()
        assert not self.open, "every tag is closed"
        assert not self.other, "no comment, declaration or instruction"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.other.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def test_the_reader_sees_what_is_live():
    page = Page("<p>a<img src=x onerror=alert(1)></img></p>")
    assert ("img", {"src": "x", "onerror": "alert(1)"}) in page.tags
    with pytest.raises(AssertionError):
        Page("<!-- hidden -->")


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"role": TEXT, "content": TEXT}), max_size=4))
def test_a_conversation_is_shown_word_for_word_and_inert(messages):
    page = Page(conversation_html(messages))
    expected = [("div", {"class": "qs-talk"})]
    for message in messages:
        expected += [("div", {"class": f"qs-turn {message['role']}", "dir": "auto"}), ("small", {})]
    assert page.tags == expected
    assert page.text == "".join(message["role"] + message["content"] for message in messages)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.booleans()), max_size=6), st.none() | st.integers(1, 7))
def test_tokens_are_shown_piece_by_piece_and_inert(pieces, cut):
    page = Page(tokens_html(pieces, cut))
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
    raw, empty = Page(raw_html(text)), Page(empty_html(text))
    assert raw.tags == [("div", {"class": "qs-raw", "dir": "auto"})]
    assert empty.tags == [("div", {"class": "qs-empty"})]
    assert raw.text == empty.text == text


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.booleans()), max_size=4))
def test_chips_are_inert_and_warnings_stand_out(chips):
    page = Page(chips_html(chips))
    expected = [("div", {"class": "qs-chips"})]
    for _, _, warns in chips:
        expected += [("span", {"class": "qs-chip warn" if warns else "qs-chip"}), ("b", {})]
    assert page.tags == expected
    assert page.text == "".join(f"{number} {words}" for number, words, _ in chips)
