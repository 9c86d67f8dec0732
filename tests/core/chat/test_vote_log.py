"""Votes of a server: one per question, limits of visitors, and an index that reads only what is new."""

import pytest

from core.chat import vote_log, votes
from core.chat.types import GenerationResult
from core.chat.vote_log import VoteLog
from core.chat.vote_statistics import MAX_EXACT_VOTES, sign_test
from core.chat.votes import Vote
from core.errors import StudioError


def vote(turn, chat="c", verdict="left", time=None, text="l"):
    answers = [GenerationResult(text=text), GenerationResult(text="r", run="run", adapter="final")]
    stamp = {} if time is None else {"time": time}
    return Vote(chat=chat, turn=turn, messages=[], answers=answers, verdict=verdict, **stamp)


@pytest.fixture
def path(settings):
    return votes.votes_path(settings, "base")


def kept(path) -> list[str]:
    return [found.turn for found in votes.read(path)]


def test_add_second_vote_on_a_question_is_refused_until_the_first_is_undone(path):
    log = VoteLog()
    log.add(path, vote("a"))
    for _ in range(3):
        with pytest.raises(StudioError, match="already, in another branch"):
            VoteLog().add(path, vote("a", verdict="right"))
    log.add(path, vote("a", chat="other"))
    assert log.undo(path, "c", "a").verdict == "left"
    log.add(path, vote("a", verdict="tie"))
    assert [found.verdict for found in votes.read(path)] == ["left", "tie"]


def test_add_beyond_a_visitors_day_is_refused_also_with_undone_votes(path, monkeypatch):
    monkeypatch.setattr(vote_log, "MAX_VOTES_PER_DAY", 3)
    log = VoteLog()
    log.add(path, vote("old", "v1-ann", time=1.0))
    for turn in ("a", "b", "b"):
        log.undo(path, "v1-ann", turn)
        log.add(path, vote(turn, "v1-ann"))
    with pytest.raises(StudioError, match="voted 3 times today"):
        log.add(path, vote("c", "v2-ann"))
    log.add(path, vote("c", "v1-bob"))
    for turn in "abcd":
        log.add(path, vote(turn, "owners"))


def test_add_beyond_all_visitors_drops_the_oldest_of_those_with_most(path, monkeypatch):
    monkeypatch.setattr(vote_log, "MAX_VISITORS_VOTES", 10)
    log = VoteLog()
    log.add(path, vote("owner", "owners"))
    log.add(path, vote("bob", "v1-bob"))
    for number in range(30):
        log.add(path, vote(str(number), "v1-ann", time=2e9 + number))
    turns = kept(path)
    assert turns[:2] == ["owner", "bob"]
    assert turns[-1] == "29"
    assert len(turns) <= 11
    assert sum(log.ballots(path).values()) == len(turns)


def test_add_beyond_bytes_is_refused_or_drops_the_oldest(path, monkeypatch):
    monkeypatch.setattr(vote_log, "MAX_VOTE_BYTES", 2_000)
    monkeypatch.setattr(vote_log, "MAX_VISITORS_BYTES", 6_000)
    log = VoteLog()
    with pytest.raises(StudioError, match="a visitor's may take"):
        log.add(path, vote("long", "v1-ann", text="x" * 2_000))
    for number in range(20):
        log.add(path, vote(str(number), "v1-ann", time=2e9 + number, text="x" * 1_000))
        assert path.stat().st_size <= 6_000
    assert kept(path)[-1] == "19"


@pytest.mark.parametrize("half", [b'{"chat": "c", "mess', b"\xff", b"\r{", b""])
def test_ballots_read_only_new_lines_and_count_as_all_votes(path, monkeypatch, half):
    log, parsed = VoteLog(), []
    parse = votes.parse_line
    monkeypatch.setattr(votes, "parse_line", lambda line: parsed.append(line) or parse(line))
    for number in range(5):
        log.add(path, vote(str(number), verdict=["left", "tie"][number % 2]))
        log.ballots(path)
    assert len(parsed) == 5
    with path.open("ab") as stream:
        stream.write(half)
    log.add(path, vote("after"))
    with path.open("ab") as stream:
        stream.write(vote("whole").model_dump_json().encode())
    assert votes.tally_ballots(log.ballots(path)) == votes.tally(votes.read(path))
    log.add(path, vote("last"))
    log.undo(path, "c", "0")
    assert kept(path) == ["1", "2", "3", "4", "after", "whole", "last"]
    assert votes.tally_ballots(log.ballots(path)) == votes.tally(votes.read(path))
    path.unlink()
    assert not log.ballots(path)


def test_undo_reads_no_other_vote_and_the_file_stays_bounded(path, monkeypatch):
    monkeypatch.setattr(vote_log, "_MIN_BLANK_BYTES", 10_000)
    log, parsed = VoteLog(), []
    for number in range(20):
        log.add(path, vote(str(number)))
    before, parse = path.stat().st_size, votes.parse_line
    monkeypatch.setattr(votes, "parse_line", lambda line: parsed.append(line) or parse(line))
    log.add(path, vote("a", verdict="right"))
    assert log.undo(path, "c", "a").verdict == "right"
    assert log.undo(path, "c", "a") is None
    assert len(parsed) == 2, "the vote is indexed once and read once"
    assert log.ballots(path) == VoteLog().ballots(path)
    for _ in range(100):
        log.add(path, vote("a", verdict="tie"))
        log.undo(path, "c", "a")
    assert path.stat().st_size < 2 * before + 10_000
    assert log.ballots(path) == VoteLog().ballots(path)
    assert kept(path) == list(map(str, range(20)))


@pytest.mark.parametrize("share", [0.5, 0.51, 0.53, 0.6, 1.0])
def test_sign_test_approximation_continues_the_exact_sum(share):
    exact, approximate = (sign_test(int(share * total), total) for total in (MAX_EXACT_VOTES, MAX_EXACT_VOTES + 2))
    assert approximate == pytest.approx(exact, abs=0.03)
    assert 0 <= sign_test(int(share * 10**9), 10**9) <= 1


def test_sign_test_matches_known_values():
    assert sign_test(0, 0) == sign_test(10, 20) == 1.0
    assert sign_test(6, 6) == pytest.approx(0.03125)
    assert sign_test(532, 1000) == pytest.approx(0.0463, abs=1e-4)
    assert sign_test(1062, 2000) == pytest.approx(0.0059, abs=1e-4)
