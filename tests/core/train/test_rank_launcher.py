"""A run on two ranks resumes bit-exact after a stop, a killed rank and a killed worker."""

import os
import signal
import time

import psutil
import pytest

from core.runs import checkpoints, process
from core.runs.config import QLoRAConfig
from core.train.rank_launcher import RankResult
from tests.helpers.tiny_runs import SETTINGS, event_values, start_unchecked, wait_for_checkpoint, wait_until_ended

STEPS = 16
TWO = SETTINGS | {"gpus": 2, "batch_size": 4, "max_steps": STEPS, "save_steps": 2, "eval_steps": 4}


@pytest.fixture
def two_gpus(fork_server, monkeypatch):
    """Return a function that chooses how the ranks of a worker start: as real processes, or as forks of the worker."""

    def choose(real: bool) -> None:
        worker = "two_gpus" if real else "forked_ranks"

        def started(settings, module, *rest, **options):
            assert module == "core.train"
            return fork_server.launch(settings, f"tests.helpers.{worker}", *rest, **options)

        monkeypatch.setattr(process, "launch", started)

    return choose


def ranks_of(run):
    """Return the processes of a run's ranks, in order."""
    children = psutil.Process(run.saved_state().pid).children()
    return sorted(children, key=lambda child: (child.create_time(), child.pid))


def wait_until_gone(processes, seconds=20):
    deadline = time.monotonic() + seconds
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
        assert time.monotonic() < deadline, "a rank outlives its worker"
        time.sleep(0.01)


def next_checkpoint(run):
    wait_for_checkpoint(run, max((c.step for c in checkpoints.complete(run.checkpoints_dir)), default=0) + 2)


@pytest.mark.slow
def test_run_resumes_bit_exact_after_rank_kill_stop_and_worker_kill(store, two_gpus):
    two_gpus(real=True)
    whole = start_unchecked(store, QLoRAConfig(**TWO))
    assert wait_until_ended(whole).status == "finished", whole.log_tail()
    assert [step for step, _ in event_values(whole)] == list(range(1, STEPS + 1))
    assert all(len(rows) == 8 for _, rows in event_values(whole, field="rows"))

    two_gpus(real=False)
    run = start_unchecked(store, QLoRAConfig(**TWO))
    next_checkpoint(run)
    first, second = ranks_of(run)
    second.kill()
    state = wait_until_ended(run)
    assert state.status == "failed"
    assert "The process of GPU 2 ended with signal 9 (SIGKILL)" in state.cause
    wait_until_gone([first, second])

    process.resume(store, run)
    next_checkpoint(run)
    ranks = ranks_of(run)
    run.request_stop()
    assert wait_until_ended(run).status == "stopped"
    wait_until_gone(ranks)

    process.resume(store, run)
    next_checkpoint(run)
    ranks = ranks_of(run)
    os.kill(run.saved_state().pid, signal.SIGKILL)
    assert wait_until_ended(run).status == "interrupted"
    wait_until_gone(ranks)

    process.resume(store, run)
    assert wait_until_ended(run).status == "finished", run.log_tail()
    for value in ("loss", "learning_rate", "grad_norm", "tokens", "rows"):
        assert event_values(run, field=value) == event_values(whole, field=value)
    assert dict(event_values(run, "eval"))[STEPS] == dict(event_values(whole, "eval"))[STEPS]


@pytest.mark.slow
def test_run_with_more_gpus_than_present_fails_with_reason(store):
    run = start_unchecked(store, QLoRAConfig(**TWO | {"gpus": 4}))
    state = wait_until_ended(run)
    assert state.status == "failed"
    assert "GPUs is 4, and this machine has" in state.cause


def test_rank_result_survives_the_pipe_and_is_none_when_incomplete():
    reading, writing = os.pipe()
    result = RankResult("failed", "The GPU's memory ran out.", is_lost=True)
    result.send(writing)
    text = os.read(reading, 4096)
    assert RankResult.parse(text) == result
    assert RankResult.parse(text[:-5]) is None
    assert RankResult.parse(b"") is None
    os.close(reading)
    os.close(writing)
