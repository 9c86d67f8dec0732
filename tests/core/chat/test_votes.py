"""Votes on disk, their tally, its interval, and exported preferences."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat import votes
from core.chat.types import GenerationResult
from core.chat.votes import Vote


def vote(verdict="left", left="", right="run", chat="c", text=("l", "r")):
    answers = [
        GenerationResult(text=content, run=run, adapter="final" if run else "")
        for content, run in zip(text, (left, right), strict=True)
    ]
    return Vote(chat=chat, messages=[{"role": "user", "content": "Why?"}], answers=answers, verdict=verdict)


@pytest.fixture
def path(settings):
    return votes.votes_path(settings, "meta-llama/Llama-2-7b")


def test_votes_add_and_read_round_trip(path):
    first, second = vote(), vote("tie", chat="other")
    votes.add(path, first)
    votes.add(path, second)
    assert votes.read(path) == [first, second]
    assert path.name == "meta-llama-Llama-2-7b.jsonl"


@pytest.mark.parametrize("half", [b'{"chat": "c", "mess', b'{"chat": "c", "mess\n', b"{", b"\xff"])
def test_votes_after_a_half_written_line_loses_that_line_only(path, half):
    votes.add(path, vote())
    with path.open("ab") as stream:
        stream.write(half)
    votes.add(path, vote("right"))
    votes.add(path, vote("tie"))
    assert [found.verdict for found in votes.read(path)] == ["left", "right", "tie"]
    assert b"\n\n" not in path.read_bytes()


def test_votes_undo_removes_the_last_vote_of_a_chat(path):
    for verdict, chat in (("left", "a"), ("right", "a"), ("tie", "b")):
        votes.add(path, vote(verdict, chat=chat))
    lines = path.read_bytes().splitlines(keepends=True)
    assert votes.blank_line(path, len(lines[0]), len(lines[1])).verdict == "right"
    assert path.read_bytes().splitlines(keepends=True)[::2] == lines[::2], "other lines are where they were"
    assert [(found.chat, found.verdict) for found in votes.read(path)] == [("a", "left"), ("b", "tie")]
    assert votes.blank_line(path, len(lines[0]), len(lines[1])) is None
    votes.remove_lines(path, ())
    assert path.read_bytes() == lines[0] + lines[2]


def test_votes_added_by_many_threads_are_all_kept(path):
    threads = [threading.Thread(target=votes.add, args=(path, vote(chat=str(n)))) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {found.chat for found in votes.read(path)} == {str(n) for n in range(40)}


def test_votes_tally_ignores_the_side_on_the_screen():
    seen = [vote("left", "", "run"), vote("right", "run", ""), vote("right", "", "run"), vote("tie"), vote("both bad")]
    (found,) = votes.tally(seen)
    assert (found.first, found.second) == ("run/final", "base")
    assert (found.wins, found.losses, found.ties, found.both_bad) == (1, 2, 1, 1)
    assert found.share == pytest.approx(1 / 3)
    assert votes.tally([vote("left", "", "")]) == [], "a model is not compared with itself"
    assert votes.tally([]) == []


@pytest.mark.parametrize(("wins", "total", "low", "high"), [
    (0, 0, 0, 1), (5, 10, 0.2366, 0.7634), (0, 20, 0, 0.1611), (20, 20, 0.8389, 1),
])  # fmt: skip
def test_wilson_interval_matches_known_values(wins, total, low, high):
    assert votes.wilson_interval(wins, total) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_interval_contains_the_share(wins, losses):
    low, high = votes.wilson_interval(wins, wins + losses)
    assert 0 <= low <= high <= 1
    assert not (wins + losses) or low - 1e-9 <= wins / (wins + losses) <= high + 1e-9


def test_side_note_only_beyond_chance():
    assert votes.side_note([]) == ""
    assert votes.side_note([vote("left"), vote("right")] * 10) == ""
    assert votes.side_note([vote("left")] * 5) == "", "p = 0.0625"
    assert "left side won 6 of 6 votes, more than chance explains (p = 0.031)" in votes.side_note([vote("left")] * 6)
    assert votes.side_note([vote("tie")] * 50) == ""


def test_preferences_contain_votes_with_a_winner_only():
    rows, left_out = votes.preferences([vote("left"), vote("right"), vote("tie"), vote("both bad")])
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == [("l", "r"), ("r", "l")]
    assert rows[0]["prompt"] == [{"role": "user", "content": "Why?"}]
    assert votes.as_jsonl(rows).count("\n") == 2
    assert left_out == 0


def second_turn(answer):
    return [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}, *vote().messages]


@pytest.mark.parametrize(("left", "right", "systems", "is_exported"), [
    (vote().messages, vote().messages, ("", ""), True),
    # A vote of an earlier version, on a first question.
    (vote().messages, None, ("", ""), True),
    (second_turn("A"), second_turn("A"), ("", ""), True),
    (second_turn("A"), second_turn("B"), ("", ""), False),
    # The right lane's history of a vote of an earlier version is not known.
    (second_turn("A"), None, ("", ""), False),
    (vote().messages, vote().messages, ("Be brief.", "Be brief."), True),
    (vote().messages, vote().messages, ("Be brief.", ""), False),
])  # fmt: skip
@pytest.mark.parametrize("verdict", ["left", "right"])
def test_preferences_have_only_prompts_that_both_models_answered(left, right, systems, is_exported, verdict):
    cast = vote(verdict)
    cast.messages, cast.right_messages = left, right
    for answer, system in zip(cast.answers, systems, strict=True):
        answer.settings = {"system": system}
    rows, left_out = votes.preferences([cast])
    assert (len(rows), left_out) == (is_exported, not is_exported)
    if is_exported:
        system = [{"role": "system", "content": systems[0]}] if systems[0] else []
        assert rows[0]["prompt"] == system + left
