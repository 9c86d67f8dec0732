"""Real runs of a tiny model, every random part of training in use: seconds each."""

import time

from core.runs.store import WAITING

STEPS = 8
KNOBS = {
    "model": "tiny", "quantization": "none", "compute_dtype": "float32", "max_steps": STEPS, "batch_size": 3,
    "gradient_accumulation": 2, "max_length": 96, "eval_rows": 4, "eval_steps": 2, "save_steps": 3,
    "learning_rate": 5e-3, "lora_dropout": 0.1, "neftune_alpha": 5.0, "seed": 11,
}  # fmt: skip


def ended(run, seconds=120):
    deadline = time.monotonic() + seconds
    while run.state().status in WAITING:
        assert time.monotonic() < deadline, run.log_tail()
        time.sleep(0.05)
    return run.state()


def at_first_step(run, seconds=120):
    deadline = time.monotonic() + seconds
    while not curve(run):
        assert time.monotonic() < deadline, run.log_tail()
        assert run.state().status in WAITING, run.state().cause
        time.sleep(0.01)


def at_step(run, step, seconds=120):
    deadline = time.monotonic() + seconds
    while not any(event.event == "checkpoint" and event.step >= step for event in run.events()):
        assert time.monotonic() < deadline, run.log_tail()
        assert run.state().status in WAITING, run.state().cause
        time.sleep(0.005)


def curve(run, kind="step", value="loss"):
    return [(event.step, getattr(event, value)) for event in run.events() if event.event == kind]
