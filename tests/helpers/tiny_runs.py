"""Real runs of a tiny model with every random part of training in use; each takes seconds."""

import time

from core.runs import process
from core.runs.store import NOT_ENDED

STEPS = 8
SETTINGS = {
    "model": "tiny", "quantization": "none", "compute_dtype": "float32", "max_steps": STEPS, "batch_size": 3,
    "gradient_accumulation": 2, "max_length": 96, "eval_rows": 4, "eval_steps": 2, "save_steps": 3,
    "learning_rate": 5e-3, "lora_dropout": 0.1, "neftune_alpha": 5.0, "seed": 11,
}  # fmt: skip


def start_unchecked(store, config):
    """Queue a run without its preflight checks, which would refuse what its worker is to meet, and start it."""
    run = store.create(config)
    process.advance(store)
    return run


def wait_until_ended(run, seconds=120):
    """Wait until a run is neither queued nor running, and return its state."""
    deadline = time.monotonic() + seconds
    while run.state().status in NOT_ENDED:
        assert time.monotonic() < deadline, run.log_tail()
        time.sleep(0.05)
    return run.state()


def wait_for_first_step(run, seconds=120):
    """Wait until a run has reported a step."""
    deadline = time.monotonic() + seconds
    while not event_values(run):
        assert time.monotonic() < deadline, run.log_tail()
        assert run.state().status in NOT_ENDED, run.state().cause
        time.sleep(0.01)


def wait_for_checkpoint(run, step, seconds=120):
    """Wait until a run has saved a checkpoint at this step or later."""
    deadline = time.monotonic() + seconds
    while not any(event.event == "checkpoint" and event.step >= step for event in run.events()):
        assert time.monotonic() < deadline, run.log_tail()
        assert run.state().status in NOT_ENDED, run.state().cause
        time.sleep(0.005)


def event_values(run, kind="step", field="loss"):
    """Return (step, value) of a field of all events of a kind."""
    return [(event.step, getattr(event, field)) for event in run.events() if event.event == kind]
