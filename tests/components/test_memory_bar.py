"""The memory bar: its parts, too much memory, and hostile texts."""

import re

import pytest

from components.memory_bar import memory_html
from tests.helpers.hostile_text import HOSTILE, ParsedHtml

GIB = 2**30


def test_memory_bar_parts_are_proportional_to_the_free_memory():
    shown = memory_html({"weights": 3 * GIB, "nothing": 0, "activations": GIB / 2}, 10 * GIB, "words")
    assert re.findall(r"width:([\d.]+)%", shown) == ["30.00", "5.00"]
    assert ParsedHtml(shown).text == "wordsweights 3.0 GiBactivations 0.5 GiB"
    assert "over" not in shown


def test_memory_bar_more_than_free_is_marked():
    shown = memory_html({"weights": 30 * GIB}, 10 * GIB, "words")
    assert re.findall(r"width:([\d.]+)%", shown) == ["100.00"]
    assert 'class="mb-bar over"' in shown


@pytest.mark.parametrize("text", HOSTILE)
def test_memory_bar_hostile_text_stays_text(text):
    assert {tag for tag, _ in ParsedHtml(memory_html({text: GIB}, GIB, text)).tags} == {"div", "i", "span"}
