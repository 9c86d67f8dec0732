"""The editor of turns: texts stay texts, roles and loss are those of the turns."""

import pytest

from components.turn_editor import turn_editor_html
from tests.helpers.hostile_text import HOSTILE
from tests.helpers.table_html import Lenient

ROLES = ["system", "user", "assistant", "tool"]
TAGS = {"div", "b", "select", "option", "label", "input", "button", "textarea", "template"}


@pytest.mark.parametrize("text", HOSTILE)
def test_editor_shows_any_text_as_text(text):
    page = Lenient(turn_editor_html(text, text, [{"role": "user", "content": text}], ROLES))
    assert {tag for tag, _ in page.tags} <= TAGS
    assert text in page.text


def test_editor_chooses_the_role_and_the_loss_of_each_turn():
    turns = [{"role": "user", "content": "\nq"}, {"role": "assistant", "content": "a", "loss": False}]
    page = turn_editor_html("Edit", "3", turns, ROLES)
    boxes = [attributes for tag, attributes in Lenient(page).tags if tag == "input"]
    assert ["checked" in box for box in boxes] == [True, False, True], "the last one is that of a new turn"
    chosen = [a["value"] for tag, a in Lenient(page).tags if tag == "option" and "selected" in a]
    assert chosen == ["user", "assistant", "user"]
    assert ">\n\nq</textarea>" in page, "a textarea drops the first line break"
