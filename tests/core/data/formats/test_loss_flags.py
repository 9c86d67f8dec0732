"""Tests of the flags that include answers in the loss or exclude them, of turns and of pairs of turns."""

import pytest

from core.data.formats import UnusableRow
from core.data.formats.loss_flags import LOSS_KEYS, SKIP_KEYS
from core.data.formats.turns import read_turns
from tests.helpers.datasets import dialog

PAIR = {"input": "a?", "output": "b"}


def read(turns):
    notes = []
    return read_turns(turns, notes.append), notes


@pytest.mark.parametrize("key", LOSS_KEYS)
@pytest.mark.parametrize(
    ("value", "has_loss"),
    [(0, False), (False, False), ("0", False), (0.0, False), (1, True), (True, True), (None, True)],
)
def test_read_turns_answer_with_loss_flag_is_masked(key, value, has_loss):
    [_, answer], notes = read([*dialog("a"), {"role": "assistant", "content": "b", key: value}])
    assert answer.get("loss", True) is has_loss
    assert not notes


@pytest.mark.parametrize("key", SKIP_KEYS)
@pytest.mark.parametrize(("value", "has_loss"), [(1, False), ("true", False), (0, True), (False, True), (None, True)])
def test_read_turns_answer_with_skip_flag_is_masked(key, value, has_loss):
    [_, answer], notes = read([*dialog("a"), {"role": "assistant", "content": "b", key: value}])
    assert answer.get("loss", True) is has_loss
    assert not notes


def test_read_turns_skip_of_another_meaning_is_noted():
    [message], notes = read([{"role": "assistant", "content": "b", "skip": "intro"}])
    assert message == {"role": "assistant", "content": "b"}
    assert notes == ["the field 'skip' of a turn is not used"]


@pytest.mark.parametrize("value", [0, 1, True, "false"])
def test_read_turns_mask_of_either_meaning_is_unusable(value):
    with pytest.raises(UnusableRow, match="may mean trained on or left out; rename it to train or skip"):
        read([{"role": "assistant", "content": "b", "mask": value}])


@pytest.mark.parametrize("value", [0.5, "some", 2, [0]])
def test_read_turns_fractional_weight_is_unusable(value):
    with pytest.raises(UnusableRow, match="neither 0 nor 1"):
        read([{"role": "assistant", "content": "b", "weight": value}])


def test_read_turns_weight_on_question_is_noted():
    assert read([{"role": "user", "content": "a", "train": True}])[1] == [
        "train = True on a user turn is not used: only answers carry loss"
    ]


@pytest.mark.parametrize(
    ("flags", "has_loss"),
    [
        ({"output_with_loss": False}, False),
        ({"output_with_loss": True}, True),
        ({"output_with_loss": None}, True),
        ({"train": 0}, False),
        ({"weight": 0.0}, False),
        ({"skip": True}, False),
        ({"loss_mask": 1}, True),
    ],
)
def test_read_turns_pair_with_loss_flag_is_masked(flags, has_loss):
    messages, notes = read([{**PAIR, **flags}, {"input": "c?", "output": "d"}])
    assert [message.get("loss", True) for message in messages] == [True, has_loss, True, True]
    assert not notes


def test_read_turns_pair_with_unclear_mask_is_unusable():
    with pytest.raises(UnusableRow, match="may mean trained on or left out"):
        read([{**PAIR, "mask": 1}])
