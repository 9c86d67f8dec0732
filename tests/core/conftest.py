"""A home with a tiny model; no worker outlives its test."""

import os
import signal

import pytest

from core.runs.store import RunStore
from tests.helpers.datasets import copy_bundled
from tests.helpers.tiny_model import tiny_llama


@pytest.fixture
def store(settings, small_tokenizer, forked_workers):
    """A home with a tiny model: every random part of training is in use, dropout and noise included."""
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
