"""Runs that were stopped, killed or failed resume with bit-exact losses from their last checkpoint."""

import os
import signal
import time

import pytest
from safetensors.torch import load_file

from core.errors import StudioError
from core.runs import checkpoints, process
from core.runs.config import QLoRAConfig
from tests.helpers.tiny_runs import SETTINGS, STEPS, event_values, wait_for_checkpoint, wait_until_ended

pytestmark = pytest.mark.slow


def test_killed_and_stopped_runs_resume_bit_exact(store):
    # Queued at once: with the preflight checks of `submit` in between, the first would end before the third is queued.
    whole, killed, stopped = (store.create(QLoRAConfig(**SETTINGS)) for _ in range(3))
    process.advance(store)
    assert [run.id for run in store.queue()] == [killed.id, stopped.id], "two wait in the queue"
    assert wait_until_ended(whole).status == "finished", whole.log_tail()
    assert [step for step, _ in event_values(whole)] == list(range(1, STEPS + 1))

    # The worker of the first run starts the second.
    wait_for_checkpoint(killed, 3)
    os.kill(killed.saved_state().pid, signal.SIGKILL)
    assert wait_until_ended(killed).status == "interrupted"
    # The server does this every two seconds.
    process.advance(store)
    wait_for_checkpoint(stopped, 3)
    stopped.request_stop()
    assert wait_until_ended(stopped).status == "stopped"

    for run in (killed, stopped):
        assert process.resume(store, run) == {}
        assert wait_until_ended(run).status == "finished", run.log_tail()
        assert event_values(run) == event_values(whole), "every loss, to the last bit"
        for value in ("learning_rate", "grad_norm", "tokens", "rows"):
            assert event_values(run, field=value) == event_values(whole, field=value)
        assert dict(event_values(run, "eval")).items() >= {0: event_values(whole, "eval")[0][1]}.items()
        assert dict(event_values(run, "eval"))[STEPS] == dict(event_values(whole, "eval"))[STEPS]
        weights, expected = (load_file(r.adapter / "adapter_model.safetensors") for r in (run, whole))
        assert all(weights[name].equal(expected[name]) for name in expected)


def test_finished_run_resumes_with_more_steps_and_changed_settings(store):
    run = process.submit(store, QLoRAConfig(**SETTINGS | {"scheduler": "constant"}))
    assert wait_until_ended(run).status == "finished", run.log_tail()
    with pytest.raises(StudioError, match=r"is finished\. There is nothing left to do"):
        process.resume(store, run)
    with pytest.raises(StudioError, match="Rank, Seed cannot change when a run is resumed"):
        process.resume(store, run, lora_rank=3, seed=12, max_steps=12)
    assert process.resume(store, run, max_steps=11, eval_steps=5) == {"max_steps": (8, 11), "eval_steps": (2, 5)}
    assert wait_until_ended(run).status == "finished", run.log_tail()
    assert [step for step, _ in event_values(run)] == list(range(1, 12))
    (resumed,) = [event for event in run.events() if event.event == "resumed"]
    assert resumed.previous == {"max_steps": 8, "eval_steps": 2}, "the old values of the settings"
    assert run.saved_state().previous == {}
    assert {step for step, _ in event_values(run, "eval")} >= {0, 10, 11}
    assert run.config().max_steps == 11
    seconds = [value for _, value in event_values(run, field="seconds")]
    assert seconds == sorted(seconds)


def test_run_killed_before_first_checkpoint_restarts(store):
    run = process.submit(store, QLoRAConfig(**SETTINGS | {"save_steps": 0}))
    deadline = time.monotonic() + 60
    while not event_values(run):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill(store, run)
    assert run.state().status == "stopped"
    assert "Stopped at once on request" in run.state().cause
    process.resume(store, run)
    assert wait_until_ended(run).status == "finished", run.log_tail()
    assert [step for step, _ in event_values(run)] == list(range(1, STEPS + 1))


def test_run_keeps_best_checkpoint_and_stops_early(store):
    """The learning rate is so high that the held-out loss rises again."""
    values = SETTINGS | {
        "max_steps": 40, "learning_rate": 0.3, "scheduler": "constant", "eval_steps": 1, "save_steps": 1,
        "keep_checkpoints": 2, "keep_best": True, "early_stopping": 3, "sample_prompts": "Hello?\nAnd now?",
        "sample_tokens": 5, "gradient_accumulation": 1, "lora_dropout": 0.0, "neftune_alpha": 0.0,
    }  # fmt: skip
    run = process.submit(store, QLoRAConfig(**values))
    state = wait_until_ended(run)
    assert state.status == "finished", run.log_tail()
    losses = dict(event_values(run, "eval"))
    assert max(losses) < 40, "it ended early"
    assert "3 evaluation passes in a row were no better" in state.cause
    best = min((step for step in losses if step), key=lambda step: losses[step])
    there = checkpoints.complete(run.checkpoints_dir)
    assert {c.step for c in there} == {best, max(losses) - 1, max(losses)}
    final = load_file(run.adapter / "adapter_model.safetensors")
    same = load_file(checkpoints.folder_of(run.checkpoints_dir, best) / "adapter_model.safetensors")
    assert all(final[name].equal(same[name]) for name in same)
    samples = [event for event in run.events() if event.event == "sample"]
    assert [event.step for event in samples] == sorted(losses)
    assert all(len(event.answers) == 2 for event in samples)
