"""Marks of a search: every occurrence, nothing else, and no markup of the text itself."""

from hypothesis import given
from hypothesis import strategies as st

from components.highlight import excerpt, highlight
from tests.helpers.hostile_text import HOSTILE
from tests.helpers.table_html import Lenient


@given(st.sampled_from(HOSTILE) | st.text(max_size=30), st.text(max_size=3) | st.sampled_from(["<", "&", ".*", "("]))
def test_highlight_keeps_the_text_and_adds_only_marks(text, search):
    shown = highlight(text, search)
    if isinstance(shown, str) and not hasattr(shown, "__html__"):
        assert shown == text
        return
    page = Lenient(shown)
    assert {tag for tag, _ in page.tags} == {"mark"}
    assert page.text == text


def test_highlight_ignores_case_and_marks_every_occurrence():
    assert highlight("Tide and tide & time", "TIDE") == "<mark>Tide</mark> and <mark>tide</mark> &amp; time"


def test_excerpt_brings_a_late_match_into_sight():
    text = "word " * 40 + "needle at the end"
    assert excerpt(text, "needle").startswith("… word word")
    assert 0 < excerpt(text, "needle").index("needle") < 60
    assert excerpt(text, "absent") == excerpt(text, "") == text
