"""A run on two ranks: stopped, a rank killed, the worker killed, and each time it goes on to the last bit."""

import os
import signal
import time

import psutil
import pytest

from core.runs import checkpoints, process
from core.runs.config import QLoRAConfig
from core.runs.launch import launch
from core.train.rank_launcher import Said
from tests.helpers.tiny_runs import KNOBS, at_step, curve, ended

STEPS = 16
TWO = KNOBS | {"gpus": 2, "batch_size": 4, "max_steps": STEPS, "save_steps": 2, "eval_steps": 4}


@pytest.fixture
def two_gpus(monkeypatch):
    def started(settings, module, *rest, **options):
        assert module == "core.train"
        return launch(settings, "tests.helpers.two_gpus", *rest, **options)

    monkeypatch.setattr(process, "launch", started)


def ranks_of(run):
    """The processes of a run's ranks, in their order."""
    children = psutil.Process(run.saved_state().pid).children()
    return sorted(children, key=lambda child: child.cmdline().index("core.train.rank_process") and child.cmdline()[4])


def gone(processes, seconds=20):
    deadline = time.monotonic() + seconds
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
        assert time.monotonic() < deadline, "a rank outlives its worker"
        time.sleep(0.01)


def next_checkpoint(run):
    at_step(run, max((c.step for c in checkpoints.whole(run.checkpoints_dir)), default=0) + 2)


@pytest.mark.slow
def test_whatever_ends_a_rank_or_all_of_them_the_run_goes_on_to_the_last_bit(store, two_gpus):
    whole = process.submit(store, QLoRAConfig(**TWO))
    assert ended(whole).status == "finished", whole.log_tail()
    assert [step for step, _ in curve(whole)] == list(range(1, STEPS + 1))
    assert all(len(rows) == 8 for _, rows in curve(whole, value="rows"))

    run = process.submit(store, QLoRAConfig(**TWO))
    next_checkpoint(run)
    first, second = ranks_of(run)
    second.kill()
    state = ended(run)
    assert state.status == "failed"
    assert "The process of GPU 2 ended with signal 9 (SIGKILL)" in state.cause
    gone([first, second])

    process.resume(store, run)
    next_checkpoint(run)
    ranks = ranks_of(run)
    run.request_stop()
    assert ended(run).status == "stopped"
    gone(ranks)

    process.resume(store, run)
    next_checkpoint(run)
    ranks = ranks_of(run)
    os.kill(run.saved_state().pid, signal.SIGKILL)
    assert ended(run).status == "interrupted"
    gone(ranks)

    process.resume(store, run)
    assert ended(run).status == "finished", run.log_tail()
    for value in ("loss", "learning_rate", "grad_norm", "tokens", "rows"):
        assert curve(run, value=value) == curve(whole, value=value)
    assert dict(curve(run, "eval"))[STEPS] == dict(curve(whole, "eval"))[STEPS]


@pytest.mark.slow
def test_more_gpus_than_there_are_are_refused_in_a_sentence(store):
    run = process.submit(store, QLoRAConfig(**TWO | {"gpus": 4}))
    state = ended(run)
    assert state.status == "failed"
    assert "GPUs is 4, and this machine has" in state.cause


def test_what_a_rank_says_arrives_and_half_of_it_is_nothing():
    reading, writing = os.pipe()
    said = Said("failed", "The GPU's memory ran out.", lost=True)
    said.send(writing)
    text = os.read(reading, 4096)
    assert Said.read(text) == said
    assert Said.read(text[:-5]) is None
    assert Said.read(b"") is None
    os.close(reading)
    os.close(writing)
