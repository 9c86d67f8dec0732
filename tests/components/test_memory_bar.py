import re

import pytest

from components.memory_bar import memory_html
from tests.helpers.hostile_text import HOSTILE, ParsedHtml

GIB = 2**30


def test_parts_stand_in_proportion_to_what_is_free():
    shown = memory_html({"weights": 3 * GIB, "nothing": 0, "activations": GIB / 2}, 10 * GIB, "words")
    assert re.findall(r"width:([\d.]+)%", shown) == ["30.00", "5.00"]
    assert ParsedHtml(shown).text == "wordsweights 3.0 GiBactivations 0.5 GiB"
    assert "over" not in shown


def test_too_much_is_shown_as_such():
    shown = memory_html({"weights": 30 * GIB}, 10 * GIB, "words")
    assert re.findall(r"width:([\d.]+)%", shown) == ["100.00"]
    assert 'class="mb-bar over"' in shown


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_words_are_inert(text):
    assert {tag for tag, _ in ParsedHtml(memory_html({text: GIB}, GIB, text)).tags} == {"div", "i", "span"}
