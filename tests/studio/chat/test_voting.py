"""Votes: saved with what was voted on; hidden names in blind rounds; undo; preference data."""

import json
from pathlib import Path

import pytest

from core.chat import votes
from core.errors import StudioError
from tests.helpers.chat_page import PAGE, send


@pytest.fixture
def answered(parts, tuned, chat):
    """Create a conversation with a question answered in two lanes; return its id and the second lane's run."""
    run = tuned()

    def ask(blind=False):
        chat_id = chat()
        parts.voting.set_blind(chat_id, blind)
        send(parts, chat_id, "Name a color.")
        return chat_id, run

    return ask


def read_votes(parts, chat_id):
    return votes.read(
        votes.votes_path(parts.conversations.settings, parts.conversations.find(chat_id).base_identity.legacy_label)
    )


def test_vote_saves_messages_answers_and_settings(parts, answered):
    chat_id, run = answered()
    updates = parts.voting.vote(chat_id, "right", [])
    (vote,) = read_votes(parts, chat_id)
    assert (vote.verdict, vote.chat, vote.blind) == ("right", chat_id, False)
    assert [message["content"] for message in vote.messages] == ["Name a color."]
    assert [votes.contender_name(answer) for answer in vote.answers] == ["base", f"{run.id}/final"]
    assert vote.answers[0].settings["max_new_tokens"] == 6
    assert "Your vote: the second answer" in updates["now"]
    names = f'<td title="{run.id}/final">{run.title} · final</td><td title="base">Base</td>'
    assert f"{names}<td>1</td><td>0</td>" in updates["tally"]


def test_undo_vote_removes_it_and_another_can_be_cast(parts, answered):
    chat_id, _ = answered()
    parts.voting.vote(chat_id, "left", [])
    with pytest.raises(StudioError, match="voted on these answers already"):
        parts.voting.vote(chat_id, "right", [])
    updates = parts.voting.undo_vote(chat_id, 0, [])
    assert read_votes(parts, chat_id) == []
    assert "Which answer is better?" in updates["now"]
    assert "No votes yet" in updates["tally"]
    parts.voting.vote(chat_id, "tie", [])
    assert [vote.verdict for vote in read_votes(parts, chat_id)] == ["tie"]


def test_vote_blind_round_hides_names_and_records_sides(parts, answered):
    orders, winners = set(), {}
    for _ in range(12):
        chat_id, run = answered(blind=True)
        order = tuple(parts.conversations.find(chat_id).turns[0].order[:2])
        orders.add(order)
        hidden = parts.actions.render_view(chat_id, [])["now"]
        assert run.id not in hidden
        assert "Answer A" in hidden
        assert "tokens/s" not in hidden
        assert run.id in parts.voting.vote(chat_id, "left", [])["now"]
        vote = read_votes(parts, chat_id)[-1]
        assert vote.blind
        assert votes.contender_name(vote.answers[0]) == ("base" if order[0] == 0 else f"{run.id}/final")
        winners[order] = votes.contender_name(vote.chosen)
    assert orders == {(0, 1), (1, 0)}, "sides are shuffled"
    assert len(set(winners.values())) == 2, "left is the answer that was shown on the left"


@pytest.mark.parametrize("verdict", ["", "up", "LEFT", "<b>"])
def test_vote_unknown_verdict_is_rejected(parts, answered, verdict):
    chat_id, _ = answered()
    with pytest.raises(StudioError, match="is not a vote"):
        parts.voting.vote(chat_id, verdict, [])


def test_vote_without_two_answers_is_rejected(parts, chat):
    chat_id = chat()
    with pytest.raises(StudioError, match="compares two answers"):
        parts.voting.vote(chat_id, "left", [])
    with pytest.raises(StudioError, match="no vote to undo"):
        parts.voting.undo_vote(chat_id, 0, [])


def test_export_preferences_writes_prompt_chosen_and_rejected(parts, answered):
    chat_id, _ = answered()
    with pytest.raises(StudioError, match="No vote has a winner yet"):
        parts.voting.export_preferences(chat_id)
    parts.voting.vote(chat_id, "left", [])
    lines = Path(parts.voting.export_preferences(chat_id)).read_text(encoding="utf-8").splitlines()
    (row,) = map(json.loads, lines)
    turn = parts.conversations.find(chat_id).turns[0]
    assert row["prompt"][-1]["content"] == "Name a color."
    assert row["chosen"][0]["content"] == turn.shown(0).text
    assert row["rejected"][0]["content"] == turn.shown(1).text


def test_export_preferences_reports_votes_on_different_conversations(parts, answered, monkeypatch):
    notices = []
    monkeypatch.setattr("studio.chat.voting.info", lambda text, title: notices.append(text))
    chat_id, _ = answered()
    with parts.conversations.change(chat_id) as chat:
        for lane in (0, 1):
            chat.turns[0].answers[lane][-1].text = f"Answer of lane {lane}"
    send(parts, chat_id, "Another.")
    parts.voting.vote(chat_id, "right", [])
    (vote,) = read_votes(parts, chat_id)
    histories = [messages[1]["content"] for messages in (vote.messages, vote.right_messages)]
    assert histories == ["Answer of lane 0", "Answer of lane 1"]
    with pytest.raises(StudioError, match=r"1 vote with a winner cannot be exported.*first question"):
        parts.voting.export_preferences(chat_id)
    parts.voting.undo_vote(chat_id, 1, [])
    parts.actions.undo(chat_id, [])
    parts.voting.vote(chat_id, "left", [])
    parts.voting.export_preferences(chat_id)
    assert notices == []


def test_set_blind_is_saved_with_the_conversation(parts, chat):
    chat_id = chat()
    parts.voting.set_blind(chat_id, True)
    assert parts.conversations.find(chat_id).blind
    assert parts.voting.blind_update(chat_id)["blind"]["value"] is True


def test_undo_vote_removes_only_the_vote_of_its_turn(parts, answered):
    chat_id, _ = answered()
    parts.voting.vote(chat_id, "right", [])
    send(parts, chat_id, "Another.")
    parts.voting.vote(chat_id, "left", [])
    parts.voting.undo_vote(chat_id, 0, [])
    assert [vote.verdict for vote in read_votes(parts, chat_id)] == ["left"]
    assert [turn.verdict for turn in parts.conversations.find(chat_id).turns] == ["", "left"]


def test_vote_keeps_the_answers_that_were_voted_on(parts, answered):
    chat_id, run = answered()
    parts.voting.vote(chat_id, "right", [])
    with pytest.raises(StudioError, match="Undo the vote first"):
        list(parts.actions.retry(chat_id, None, [], PAGE))
    parts.picker.choose_checkpoint(chat_id, 1, 0)
    assert list(parts.actions.answer_checkpoint(chat_id, 1, [], PAGE)) == []
    parts.picker.choose_lane_count(chat_id, 4)
    assert f"Your vote: the second answer ({run.title} · final)." in parts.actions.render_view(chat_id, [])["now"]


def test_vote_on_a_copy_of_voted_answers_in_another_branch_is_refused(parts, answered):
    chat_id, _ = answered()
    send(parts, chat_id, "Another.")
    parts.actions.undo(chat_id, [])
    parts.voting.vote(chat_id, "left", [])
    branches = parts.chat_list.list_branches(chat_id)["branch"]["choices"]
    longest = max(branches, key=lambda choice: "2 questions" in choice[0])[1]
    parts.actions.switch_branch(chat_id, longest, [])
    parts.actions.undo(chat_id, [])
    assert not parts.conversations.find(chat_id).turns[-1].verdict
    with pytest.raises(StudioError, match="already, in another branch"):
        parts.voting.vote(chat_id, "right", [])
    assert [vote.verdict for vote in read_votes(parts, chat_id)] == ["left"]
