"""A run store with a tiny model; workers that still run after a test are killed."""

import os
import signal

import pytest

from core.runs.store import RunStore
from tests.helpers.datasets import copy_bundled
from tests.helpers.tiny_model import tiny_llama


@pytest.fixture
def store(settings, small_tokenizer, forked_workers):
    """A run store with a tiny model and the bundled subset; its runs are killed at the end."""
    folder = settings.models_dir / "tiny"
    tiny_llama(vocab_size=len(small_tokenizer)).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    copy_bundled(settings)
    made = RunStore(settings)
    yield made
    for run in made.runs():
        state = run.saved_state()
        if state.process_lives():
            os.killpg(state.pid, signal.SIGKILL)
