"""Rows of several formats in one file are named as such."""

from core.data.formats.detect import detect
from core.data.formats.mixed_rows import mixed_doubt
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of, turns

CHATS = rows_of(task=["chat"] * 4, messages=[turns(text) for text in PROSE])
ALPACA = rows_of(task=["qa"] * 4, instruction=QUESTIONS, input=[""] * 4, output=PROSE)
PAIRS = rows_of(prompt=QUESTIONS, completion=PROSE)


def test_detect_rows_of_several_formats_names_the_kinds():
    found = detect([*CHATS, *ALPACA, *PAIRS])
    assert found.reading.format == "undecided"
    assert "4 with 'task', 'messages'; 4 with 'task', 'instruction', 'input', 'output'" in found.evidence
    assert "a file of its own" in found.evidence


def test_rows_with_columns_that_some_lack_are_of_one_kind():
    assert not mixed_doubt([*PAIRS, *(row | {"context": "A book."} for row in PAIRS)])
    assert not mixed_doubt([*PAIRS, {"error": "timeout"}])
    assert not mixed_doubt([])


def test_common_columns_are_no_sign_of_a_kind():
    assert "4 with 'messages'; 4 with 'instruction', 'input', 'output'" in mixed_doubt([*CHATS, *ALPACA])
