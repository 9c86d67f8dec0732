"""A home with a tiny model and a run of it; no worker outlives its test."""

import os
import signal

import pytest

from tests.helpers.tiny_evaluations import tiny_store


@pytest.fixture
def tiny(settings, small_tokenizer, forked_workers):
    """The store of evaluations, and a run."""
    store, run = tiny_store(settings, small_tokenizer)
    yield store, run
    for evaluation in store.all():
        state = evaluation.saved_state()
        if state.process_lives():
            os.killpg(state.pid, signal.SIGKILL)
