"""core/chat/throttle.py: beside a run on the same processors the chat rests after each step, on one thread."""

import os
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from core.chat import throttle
from core.chat.throttle import SHARE, Throttle


@pytest.fixture
def rests(monkeypatch):
    said = []
    # Only the sleep of this module: threads of other tests may sleep meanwhile.
    monkeypatch.setattr(throttle, "time", SimpleNamespace(monotonic=time.monotonic, sleep=said.append))
    monkeypatch.setattr(throttle, "_LOOKS_EVERY", 0)
    return said


def stepped(runs, device="cpu"):
    """The threads of a step of 20 ms, and the pace, in a thread of its own as the engine's is."""
    found, kept = [], Throttle(runs)

    def work():
        ends = time.monotonic() + 0.02
        while time.monotonic() < ends:
            pass
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=lambda: [kept.step(work, device) for _ in range(2)])
    thread.start()
    thread.join()
    return found, kept


def test_alone_it_takes_what_there_is(runs, rests):
    threads, kept = stepped(runs)
    assert threads == [torch.get_num_threads()] * 2
    assert (rests, kept.beside) == ([], False)


def test_a_run_goes_first(runs, a_run, rests):
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(os.getpid()))
    threads, kept = stepped(runs)
    assert threads == [1, 1]
    assert kept.beside
    assert all(rest >= 0.02 * (1 / SHARE - 1) for rest in rests)
    assert len(rests) == 2


def test_on_a_card_of_its_own_the_processors_are_nobody_s_affair(runs, a_run, rests):
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(os.getpid()))
    assert not stepped(runs, "cuda")[1].beside
    assert rests == []
