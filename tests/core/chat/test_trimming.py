"""Prompts are shortened to what the model can read: the system turn stays, and each shortening has a note."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat import trimming
from core.chat.sampling import Sampling
from core.errors import StudioError


def turn(role, text="x"):
    return {"role": role, "content": text}


def tokens(messages):
    """Return one token per character; each message begins with the first letter of its role."""
    return [ord(letter) for message in messages for letter in message["role"][0] + message["content"]]


def fit(messages, limit=None, **settings):
    """Return the text of the fitted prompt, and its notes."""
    ids, notes = trimming.fit_prompt(messages, Sampling(**settings), tokens, limit, limit)
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
def test_fit_prompt_conversation_that_fits_is_unchanged(messages, expected):
    assert fit(messages, 100) == fit(messages) == (expected, [])


def test_fit_prompt_keeps_the_system_turn_when_old_turns_are_dropped():
    messages = [turn("system", "S"), turn("user", "1"), turn("assistant", "2"), turn("user", "3")]
    text, (note,) = fit(messages, 4)
    assert text == "sSu3"
    assert "the first 2 messages after the system turn of this conversation were left out" in note


def test_fit_prompt_own_system_turn_replaces_the_setting_with_a_note():
    assert fit([turn("user", "Hi")], system="be brief") == ("sbe briefuHi", [])
    text, notes = fit([turn("system", "S"), turn("user", "Hi")], system="be brief")
    assert (text, notes) == ("sSuHi", [trimming.OWN_SYSTEM_NOTE])


@given(st.lists(st.sampled_from(["system", "user", "assistant", "tool"]), min_size=1, max_size=9), st.integers(0, 30))
def test_fit_prompt_any_roles_give_a_prompt_or_a_reason(roles, limit):
    messages = [turn(role, str(at)) for at, role in enumerate(roles)]
    leading = next((at for at, role in enumerate(roles) if role != "system"), len(roles))
    starts = [0, *(at for at in range(leading + 1, len(roles)) if roles[at] == "user")]
    shortest = 2 * (leading + len(roles) - max(starts[-1], leading))
    if shortest > limit:
        with pytest.raises(StudioError, match="exceeds what the model can read"):
            fit(messages, limit)
        return
    text, notes = fit(messages, limit)
    assert len(text) <= limit
    assert text.startswith("".join(f"s{at}" for at in range(leading)))
    assert bool(notes) == (text != "".join(map(chr, tokens(messages))))


@pytest.mark.parametrize("limit", [3, 50, 3_000])
def test_fit_prompt_renders_few_beginnings_of_a_long_conversation(limit):
    messages = [turn(role) for _ in range(1_000) for role in ("user", "assistant")][:-1]
    rendered = []
    ids, notes = trimming.fit_prompt(
        messages, Sampling(), lambda some: rendered.append(some) or tokens(some), limit - 1, limit
    )
    assert len(notes) == 1
    # Each turn has two tokens, and the first one is a user's.
    assert len(ids) == (limit - 1 - 2) // 4 * 4 + 2
    assert len(rendered) <= 12
