"""Events of a short run, as a worker writes them."""

from core.runs.events import EventWriter, RunEvent, parse_event

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"
PREPARED = {
    "event": "prepared", "total_steps": 10, "rows": 1200, "held_out_rows": 2, "left_out": {"no answer": 3},
    "truncated": 4, "tokens": 56789, "answer_tokens": 1234, "trainable": 99, "template": "Llama 2's chat template",
    "choices": ["Attention is sdpa (no GPU)."],
}  # fmt: skip
EVENTS = [
    {"event": "stage", "text": "Loading it"},
    PREPARED,
    {"event": "eval", "step": 0, "loss": 4.0},
    {"event": "step", "step": 1, "total": 10, "loss": 3.25, "learning_rate": 1e-3, "tokens_per_second": 1500.4,
     "seconds": 2.0, "tokens": 3000, "grad_norm": 1.5, "rows": [3, 4]},
    {"event": "step", "step": 2, "total": 10, "loss": "nan", "learning_rate": 5e-4, "tokens_per_second": 99.0,
     "seconds": 4.0, "tokens": 6000, "grad_norm": 2.5, "rows": [5, 5]},
    {"event": "eval", "step": 2, "loss": 3.0},
    {"event": "sample", "step": 2, "prompts": ["Why?"], "answers": ["Because."]},
]  # fmt: skip


def write(run, reported):
    """Write events, given as dicts, to a run."""
    writer = EventWriter(run.events_file)
    for event in reported:
        writer.write(parse_event(event))


def parse(lines) -> list[RunEvent]:
    """Return the models of lines that are given as dicts."""
    return [parse_event(line) for line in lines]
