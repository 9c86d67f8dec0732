"""The worker as a real process with a tiny model: killed, paused and resumed."""

import json
import os
import signal

import psutil
import pytest

from core.data.rows import Rows
from core.errors import StudioError
from core.evaluate import process, result, scores
from core.evaluate.config import EvaluationConfig
from tests.helpers.tiny_evaluations import ended, until

PROMPTS = 60


def read_keys(evaluation, name="answers.jsonl"):
    """Return (prompt, lane) of each complete line of a file."""
    path = evaluation.folder / name
    if not path.exists():
        return []
    complete = path.read_bytes().rpartition(b"\n")[0]
    return [(line["prompt"], line["lane"]) for line in map(json.loads, complete.splitlines())]


@pytest.mark.slow
def test_worker_killed_paused_and_resumed_answers_every_prompt_once(tiny):
    store, run = tiny
    config = EvaluationConfig(
        prompts="subset", subset="keeper", lanes=["base", run.id], limit=PROMPTS, max_new_tokens=120, rows=6,
        lens=True,
    )  # fmt: skip
    evaluation = process.submit(store, config)
    with pytest.raises(StudioError, match="is running, and two"):
        process.submit(store, config)
    until(evaluation, lambda: len(read_keys(evaluation)) > 8)
    assert os.getsid(evaluation.saved_state().pid) == evaluation.saved_state().pid, "the worker needs its own session"
    os.kill(evaluation.saved_state().pid, signal.SIGKILL)
    until(evaluation, lambda: not psutil.pid_exists(evaluation.saved_state().pid))
    assert evaluation.state().status == "interrupted"
    with evaluation.answers_file.open("a") as stream:
        # An incomplete line is left by a crash.
        stream.write('{"prompt": 59, "lane": 1, "te')
    before = read_keys(evaluation)
    assert len(before) < 2 * PROMPTS

    process.resume(store, evaluation)
    until(evaluation, lambda: len(read_keys(evaluation)) > len(before))
    process.pause(evaluation)
    assert ended(evaluation).status == "paused", evaluation.log_tail()
    paused = read_keys(evaluation)
    assert paused[: len(before)] == before
    partial = result.open_as_dataset(store, evaluation)
    assert 0 < partial.rows < PROMPTS
    with pytest.raises(StudioError, match="nothing to stop"):
        process.stop(evaluation)

    process.resume(store, evaluation)
    assert ended(evaluation).status == "finished", evaluation.log_tail()
    found = read_keys(evaluation)
    assert found[: len(paused)] == paused
    assert len(found) == len(set(found))
    assert set(found) == {(prompt, lane) for prompt in range(PROMPTS) for lane in range(2)}
    assert any("6 answers decode together (as configured" in words for words in evaluation.state().choices)
    assert "The base weights are kept as none and computed in float32." in evaluation.state().choices
    assert evaluation.state().precision == "none, float32"
    with pytest.raises(StudioError, match="Every prompt is answered"):
        process.resume(store, evaluation)
    _check_losses_and_scores(store, evaluation)
    _check_open_and_export(store, evaluation)


def _check_losses_and_scores(store, evaluation):
    keys = [(prompt, lane) for prompt in range(PROMPTS) for lane in range(2)]
    assert sorted(read_keys(evaluation, "losses.jsonl")) == keys
    whole = {json.dumps(line) for line in map(json.loads, evaluation.losses_file.read_text().splitlines())}
    # A crash in the middle of the losses leaves half of a line, and no scores of this version.
    evaluation.losses_file.write_bytes(
        evaluation.losses_file.read_bytes()[: evaluation.losses_file.stat().st_size // 2]
    )
    lens = evaluation.lens_file.read_bytes()
    evaluation.lens_file.write_bytes(lens[: len(lens) // 2])
    assert scores.find(evaluation) is None
    before, answers = evaluation.losses_file.read_bytes().rpartition(b"\n")[0], evaluation.answers_file.read_bytes()
    evaluation.save_state(evaluation.saved_state().model_copy(update={"status": "interrupted"}))
    process.resume(store, evaluation)
    assert ended(evaluation).status == "finished", evaluation.log_tail()
    assert evaluation.losses_file.read_bytes().startswith(before)
    assert sorted(read_keys(evaluation, "losses.jsonl")) == keys
    assert sorted(read_keys(evaluation, "lens.jsonl")) == keys
    assert evaluation.lens_file.read_bytes().startswith(lens[: len(lens) // 2].rpartition(b"\n")[0])
    lines = [json.loads(line) for line in evaluation.losses_file.read_text().splitlines()]
    totals = [sum(line["nll"] for line in found) for found in (lines, map(json.loads, whole))]
    assert totals[0] == pytest.approx(totals[1], rel=1e-5), "another batch gives the same losses"
    assert evaluation.answers_file.read_bytes() == answers
    found = scores.find(evaluation)
    assert [found.summary("loss", lane) for lane in (0, 1)] == [
        pytest.approx(sum(line["nll"] for line in own) / sum(line["tokens"] for line in own))
        for own in ([line for line in lines if line["lane"] == lane] for lane in (0, 1))
    ]


def _check_open_and_export(store, evaluation):
    data = result.open_as_dataset(store, evaluation)
    assert (data.rows, data.id) == (PROMPTS, result.open_as_dataset(store, evaluation).id)
    names = {column.name for column in data.columns}
    own = {name.format(lane) for name in ("answer of {}", "tokens of {}", "why {} ended") for lane in ("base", "tuned")}
    assert {"prompt", "reference", "settings", "seed", *own} <= names
    row = json.loads(Rows(store.settings, data.id).row(5)["raw"])
    asked, answers = evaluation.prompts()[5], evaluation.answers().read(5)
    assert row["prompt"] == asked.question
    assert row["reference"] == asked.reference
    assert [row["answer of base"], row["answer of tuned"]] == [line["text"] for line in answers]
    assert row["messages"][-1]["content"] == answers[-1]["text"]
    for kind in result.FILE_KINDS:
        assert result.write(store, evaluation, kind).stat().st_size
    with pytest.raises(StudioError, match="no file format 'exe'"):
        result.write(store, evaluation, "exe")


@pytest.mark.slow
def test_worker_stops_at_once_and_reports_the_cause_of_a_failure(tiny):
    store, run = tiny
    config = EvaluationConfig(subset="keeper", lanes=[run.id], max_new_tokens=1500, limit=20)
    evaluation = process.submit(store, config)
    until(evaluation, lambda: evaluation.state().status == "running")
    os.kill(evaluation.saved_state().pid, signal.SIGTERM)
    state = ended(evaluation)
    assert (state.status, len(evaluation.answers())) == ("stopped", 0)
    (run.adapter / "adapter_model.safetensors").write_bytes(b"no")
    process.resume(store, evaluation)
    state = ended(evaluation)
    assert state.status == "failed"
    assert state.cause


def test_submit_missing_run_subset_model_or_file_creates_nothing(tiny):
    store, run = tiny
    for values, words in (
        ({"lanes": ["no-such-run"], "subset": "keeper"}, "There is no run"),
        ({"lanes": [f"{run.id}/step 7"], "subset": "keeper"}, "has no adapter 'step 7'"),
        ({"subset": "none", "model": "tiny"}, "There is no subset"),
        ({"subset": "keeper", "model": "no-such-model"}, "no-such-model"),
        ({"file": "none.txt", "model": "tiny"}, "There is no file 'none.txt'"),
    ):
        with pytest.raises(StudioError, match=words):
            process.submit(store, EvaluationConfig(**values))
    assert store.all() == []
