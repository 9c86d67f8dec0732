"""Folders of version 2 still open: a run, a chat, its votes, a subset and an evaluation.

`tests/samples/v2` was written by that version. The weights were left out; everything else is as it was.
"""

import json
import shutil

import pytest

from core.chat import conversation, votes
from core.data import subset
from core.data.table import HELD_OUT, TRAIN
from core.evaluate.store import EvaluationStore
from core.runs.metrics_series import Timeline
from core.runs.store import RunStore
from core.settings import Settings
from tests.helpers.samples import SAMPLES

CHAT = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def home(tmp_path):
    """A copy of the stored samples, because opening a folder may write beside it."""
    shutil.copytree(SAMPLES / "v2", tmp_path / "home")
    return Settings(home=tmp_path / "home").prepare()


def test_run_of_version_2_shows_its_state_and_settings(home):
    (run,) = RunStore(home).runs()
    assert (run.state().status, run.problem(), run.title) == ("finished", None, "First light")
    assert (run.config().max_steps, run.config().learning_rate, run.config().lora_rank) == (6, 1e-3, 2)
    assert run.subset().name == "keeper"
    assert list(run.adapters()) == ["final", "step 6", "step 4", "step 2"]


def test_run_of_version_2_shows_its_curves_and_sample_answers(home):
    (run,) = RunStore(home).runs()
    timeline = Timeline(run.events_file)
    timeline.update()
    steps, losses = timeline.values("loss")
    assert steps.tolist() == [1, 2, 3, 4, 5, 6], "the steps before and after its resumption, each once"
    assert losses[0] == pytest.approx(7.62238597)
    now = timeline.progress()
    assert (now.step, now.total, now.share, now.seconds_left) == (6, 6, 1.0, None)
    assert now.base_loss == pytest.approx(7.6121506)
    assert len(timeline.samples) == 4
    assert timeline.checkpoints == [2, 4, 6]


def test_every_event_of_version_2_is_read(home):
    (run,) = RunStore(home).runs()
    lines = [json.loads(line) for line in run.events_file.read_text().splitlines()]
    ends = [at for at, line in enumerate(lines) if line["event"] == "done"]
    # The run was resumed after its first end, which therefore is no end of it.
    assert len(run.events()) == len(lines) - len(ends[:-1])


def test_chat_of_version_2_shows_its_turns_and_branches(home):
    chat = conversation.load(home, CHAT)
    assert (chat.base, [turn.prompt for turn in chat.turns]) == ("tiny", ["Who keeps the light?"])
    assert chat.turns[0].shown(1).text == "I do."
    (branch,) = chat.branches
    assert [answer.text for answer in branch[0].answers[1]] == ["A lamp.", "The keeper."]


def test_votes_of_version_2_are_counted(home):
    path = home.home / "votes" / "tiny.jsonl"
    (vote,) = votes.read(path)
    assert (vote.verdict, vote.chosen.text, vote.blind) == ("right", "The keeper.", True)
    (tally,) = votes.tally([vote])
    assert (tally.second, tally.wins) == ("base", 1)


def test_subset_of_version_2_shows_its_rows(home):
    found = subset.find(home, "few")
    rows = subset.load(home, "few")
    assert (len(rows[TRAIN]), len(rows[HELD_OUT])) == (found.rows, found.held_out) == (4, 34)
    assert all(messages[-1]["role"] == "assistant" for _, messages in rows[TRAIN])


def test_evaluation_of_version_2_shows_its_answers(home):
    (evaluation,) = EvaluationStore(home).all()
    (run,) = RunStore(home).runs()
    assert evaluation.state().status == "finished"
    assert evaluation.config().lanes == ["base", run.id]
    assert len(evaluation.prompts()) == 3
    assert len(evaluation.answers().finished) == 3
