"""Votes: on disk when they are cast, with who stood where; blind rounds keep names back; undo takes one back."""

import json
from pathlib import Path

import pytest

from core.chat import votes
from core.errors import StudioError
from studio.chat.voting import Voting
from tests.helpers.chat_page import PAGE


@pytest.fixture
def voting(do):
    return Voting(do.talking)


@pytest.fixture
def asked(do, tuned, chat):
    """A conversation with an answered question in two lanes."""
    run = tuned()

    def ask(blind=False):
        chat_id = chat()
        with do.talking.changing(chat_id) as kept:
            kept.blind = blind
        list(do.talking.send(chat_id, "Name a colour.", "", -1, [], PAGE))
        return chat_id, run

    return ask


def cast(do, chat_id):
    return votes.read(votes.votes_path(do.settings, do.talking.find(chat_id).base))


def test_a_vote_holds_all_that_was_voted_on(do, voting, asked):
    chat_id, run = asked()
    *view, tally = voting.vote(chat_id, "right", [])
    (vote,) = cast(do, chat_id)
    assert (vote.verdict, vote.chat, vote.blind) == ("right", chat_id, False)
    assert [m["content"] for m in vote.messages] == ["Name a colour."]
    assert [votes.contender_name(answer) for answer in vote.answers] == ["base", f"{run.id}/final"]
    assert vote.answers[0].settings["max_new_tokens"] == 6
    assert "Your vote: right" in view[1]
    assert f"<td>{run.id}/final</td><td>base</td><td>1</td><td>0</td>" in tally


def test_undo_takes_the_vote_back_and_another_can_be_cast(do, voting, asked):
    chat_id, _ = asked()
    voting.vote(chat_id, "left", [])
    with pytest.raises(StudioError, match="voted on these answers already"):
        voting.vote(chat_id, "right", [])
    *view, tally = voting.unvote(chat_id, 0, [])
    assert cast(do, chat_id) == []
    assert "Which answer is better?" in view[1]
    assert "No votes yet" in tally
    voting.vote(chat_id, "tie", [])
    assert [vote.verdict for vote in cast(do, chat_id)] == ["tie"]


def test_a_blind_round_hides_names_until_the_vote_and_knows_who_stood_where(do, voting, asked):
    orders, verdicts = set(), {}
    for _ in range(12):
        chat_id, run = asked(blind=True)
        kept = do.talking.find(chat_id)
        order = kept.turns[0].order[:2]
        orders.add(tuple(order))
        shown = do.talking.drawn(chat_id, [])[1]
        assert run.id not in shown
        assert "Answer A" in shown
        assert "tokens/s" not in shown
        revealed = voting.vote(chat_id, "left", [])[1]
        assert run.id in revealed
        vote = cast(do, chat_id)[-1]
        assert vote.blind
        assert votes.contender_name(vote.answers[0]) == ("base" if order[0] == 0 else f"{run.id}/final")
        verdicts[tuple(order)] = votes.contender_name(vote.chosen)
    assert orders == {(0, 1), (1, 0)}, "sides are shuffled"
    assert len(set(verdicts.values())) == 2, "left is whoever stood there"


@pytest.mark.parametrize("verdict", ["", "up", "LEFT", "<b>"])
def test_what_is_no_vote_is_refused(do, voting, asked, verdict):
    chat_id, _ = asked()
    with pytest.raises(StudioError, match="is no vote"):
        voting.vote(chat_id, verdict, [])


def test_a_vote_needs_two_answers(do, voting, chat):
    chat_id = chat()
    with pytest.raises(StudioError, match="compares two answers"):
        voting.vote(chat_id, "left", [])
    with pytest.raises(StudioError, match="no vote to take back"):
        voting.unvote(chat_id, 0, [])


def test_votes_become_a_preference_data_set(do, voting, asked):
    chat_id, _ = asked()
    with pytest.raises(StudioError, match="No vote has a winner yet"):
        voting.as_preferences(chat_id)
    voting.vote(chat_id, "left", [])
    lines = Path(voting.as_preferences(chat_id)).read_text(encoding="utf-8").splitlines()
    (row,) = map(json.loads, lines)
    kept = do.talking.find(chat_id).turns[0]
    assert row["prompt"][-1]["content"] == "Name a colour."
    assert row["chosen"][0]["content"] == kept.shown(0).text
    assert row["rejected"][0]["content"] == kept.shown(1).text


def test_blindness_is_kept_with_the_conversation(do, voting, chat):
    chat_id = chat()
    voting.be_blind(chat_id, True)
    assert do.talking.find(chat_id).blind
    assert voting.blindness(chat_id)["value"] is True


def test_each_vote_is_taken_back_for_its_own_question(do, voting, asked):
    chat_id, _ = asked()
    voting.vote(chat_id, "right", [])
    list(do.talking.send(chat_id, "Another.", "", -1, [], PAGE))
    voting.vote(chat_id, "left", [])
    voting.unvote(chat_id, 0, [])
    assert [vote.verdict for vote in cast(do, chat_id)] == ["left"]
    assert [turn.verdict for turn in do.talking.find(chat_id).turns] == ["", "left"]


def test_what_was_voted_on_is_not_answered_anew(do, voting, asked):
    chat_id, run = asked()
    voting.vote(chat_id, "right", [])
    with pytest.raises(StudioError, match="Undo the vote first"):
        list(do.talking.retry(chat_id, None, [], PAGE))
    do.choose_step(chat_id, 1, 0)
    assert list(do.talking.move(chat_id, 1, [], PAGE)) == []
    do.choose_count(chat_id, 4)
    assert f"Your vote: right ({run.id} · final)." in do.talking.drawn(chat_id, [])[1]
