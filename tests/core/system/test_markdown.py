"""Texts of users in Markdown."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from core.system.markdown import fenced, plain, table
from tests.helpers.hostile_text import COLUMN, markdown_html

HOSTILE = ["![x](http://evil/x.png)", "[x](javascript:alert(1))", "<script>alert(1)</script>", "a | b", "# head",
           "**bold**", "`code`", "&lt;b&gt;", "~~gone~~", "\\[x](y)", COLUMN]  # fmt: skip


def kinds(markdown: str) -> set[str]:
    tokens = MarkdownIt("js-default").parse(markdown)
    return {child.type for token in tokens for child in (token.children or [token])}


@pytest.mark.parametrize("text", HOSTILE)
def test_plain_escapes_all_markup(text):
    html = MarkdownIt("commonmark").render("x " + plain(text))
    assert "<" not in html.removeprefix("<p>").removesuffix("</p>\n")
    assert kinds("x " + plain(text)) <= {"paragraph_open", "paragraph_close", "text", "text_special"}


@pytest.mark.parametrize("text", [*HOSTILE, "a $$ b <b> c $$ d"])
def test_plain_is_text_on_gradios_page(text):
    assert set(re.findall("<[a-z/]+", markdown_html("x " + plain(text)))) == {"<p", "</p"}


@pytest.mark.parametrize("text", ["http://a.b", "see HTTPS://a.b/c_d", "www.a.b", "WWW.a.b", "me@a.b", "(ftp://a.b)"])
def test_plain_leaves_no_address_that_viewers_link(text):
    assert not re.search(r"\w://|www\.|\w@", plain(text), re.IGNORECASE)
    assert MarkdownIt("commonmark").render(plain(text)) == f"<p>{text}</p>\n"


@given(st.text())
def test_fenced_keeps_text_in_one_block(text):
    text = text.replace("\r", " ").replace("\0", " ")
    (block,) = MarkdownIt().parse(fenced(text))
    assert (block.type, block.content) == ("fence", text + "\n")


def test_table_renders_as_a_markdown_table():
    assert table(["a", "b"], [["1", plain("2|3")]]) == ["| a | b |", "|---|---|", r"| 1 | 2\|3 |"]
    assert "td_open" in kinds("\n".join(table(["a"], [["1"]])))
