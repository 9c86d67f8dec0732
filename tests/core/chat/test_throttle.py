"""Throttle: beside a run on the same processors the chat uses one thread and sleeps after each step."""

import os
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from core.chat import throttle
from core.chat.throttle import BUSY_SHARE, Throttle

STEP_SECONDS = 0.02


@pytest.fixture
def sleeps(monkeypatch):
    """Durations of the throttle's sleeps, which are skipped; threads of other tests sleep on."""
    durations = []
    monkeypatch.setattr(throttle, "time", SimpleNamespace(monotonic=time.monotonic, sleep=durations.append))
    monkeypatch.setattr(throttle, "_CHECK_SECONDS", 0)
    return durations


@pytest.fixture
def active_run(a_run):
    """A run whose worker is this process."""
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(os.getpid()))
    return run


def take_two_steps(runs, device="cpu"):
    """Return torch's threads in each of two steps, and the throttle; in a thread of its own, as the engine's is."""
    threads, chat_throttle = [], Throttle(runs)

    def work():
        ends = time.monotonic() + STEP_SECONDS
        while time.monotonic() < ends:
            pass
        threads.append(torch.get_num_threads())

    thread = threading.Thread(target=lambda: [chat_throttle.step(work, device) for _ in range(2)])
    thread.start()
    thread.join()
    return threads, chat_throttle


def test_throttle_without_a_run_uses_all_threads(runs, sleeps):
    threads, chat_throttle = take_two_steps(runs)
    assert threads == [torch.get_num_threads()] * 2
    assert (sleeps, chat_throttle.is_active) == ([], False)


def test_throttle_beside_a_run_uses_one_thread_and_sleeps(runs, active_run, sleeps):
    threads, chat_throttle = take_two_steps(runs)
    assert threads == [1, 1]
    assert chat_throttle.is_active
    assert len(sleeps) == 2
    assert all(duration >= STEP_SECONDS * (1 / BUSY_SHARE - 1) for duration in sleeps)


def test_throttle_on_a_gpu_does_nothing(runs, active_run, sleeps):
    assert not take_two_steps(runs, "cuda")[1].is_active
    assert sleeps == []
