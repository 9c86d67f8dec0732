"""Fixtures of real evaluations with a tiny model; workers are killed after each test."""

import os
import signal

import pytest

from tests.helpers.tiny_evaluations import tiny_store


@pytest.fixture
def tiny(settings, small_tokenizer, forked_workers):
    """Yield the store of evaluations and a run with an adapter."""
    store, run = tiny_store(settings, small_tokenizer)
    yield store, run
    for evaluation in store.all():
        state = evaluation.saved_state()
        if state.process_lives():
            os.killpg(state.pid, signal.SIGKILL)
