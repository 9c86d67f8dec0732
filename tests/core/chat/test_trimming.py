"""Prompts that are shortened: the system turn stays, nothing is cut from what fits, and every cut has its note."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat import trimming
from core.chat.sampling import Sampling
from core.errors import StudioError


def turn(role, text="x"):
    return {"role": role, "content": text}


def tokens(messages):
    """One token per character, and each message by its role's first letter."""
    return [ord(letter) for message in messages for letter in message["role"][0] + message["content"]]


def asked(messages, room=None, **settings):
    ids, notes = trimming.fit_prompt(messages, Sampling(**settings), tokens, room, room)
    return "".join(map(chr, ids)), notes


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([turn("system", "pirate"), turn("user", "name?")], "spirateuname?"),
        ([turn("system", "haiku")], "shaiku"),
        ([turn("tool", "21")], "t21"),
        ([turn("assistant", "Hello"), turn("user", "Hi")], "aHellouHi"),
        ([turn("user", "Hi")], "uHi"),
    ],
    ids=["system", "system alone", "tool alone", "begins with an answer", "user"],
)
def test_a_conversation_that_fits_is_asked_whole(messages, expected):
    assert asked(messages, 100) == asked(messages) == (expected, [])


def test_the_system_turn_stays_when_old_turns_go():
    talk = [turn("system", "S"), turn("user", "1"), turn("assistant", "2"), turn("user", "3")]
    text, (note,) = asked(talk, 4)
    assert text == "sSu3"
    assert "the first 2 messages after the system turn of this conversation were left out" in note


def test_the_system_prompt_setting_yields_to_the_rows_own_and_it_is_noted():
    assert asked([turn("user", "Hi")], system="be brief") == ("sbe briefuHi", [])
    text, notes = asked([turn("system", "S"), turn("user", "Hi")], system="be brief")
    assert (text, notes) == ("sSuHi", [trimming.OWN_SYSTEM_NOTE])


@given(st.lists(st.sampled_from(["system", "user", "assistant", "tool"]), min_size=1, max_size=9), st.integers(0, 30))
def test_any_row_gives_a_prompt_or_one_sentence(roles, room):
    messages = [turn(role, str(at)) for at, role in enumerate(roles)]
    leading = next((at for at, role in enumerate(roles) if role != "system"), len(roles))
    starts = [0, *(at for at in range(leading + 1, len(roles)) if roles[at] == "user")]
    shortest = 2 * (leading + len(roles) - max(starts[-1], leading))
    if shortest > room:
        with pytest.raises(StudioError, match="exceeds what the model can read"):
            asked(messages, room)
        return
    text, notes = asked(messages, room)
    assert len(text) <= room
    assert text.startswith("".join(f"s{at}" for at in range(leading)))
    assert bool(notes) == (text != "".join(map(chr, tokens(messages))))
