"""The loop on a GPU: a 4-bit model trains on packed rows and answers in two lanes. `make test-gpu` runs it."""

import json
import time

import pytest
import torch

from core.chat.engine import Engine
from core.chat.queue_entry import QueueEntry
from core.chat.requests import resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest, adapter_key
from core.data import subset
from core.runs import process
from core.runs.config import QLoRAConfig
from core.runs.store import NOT_ENDED, RunStore

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]


@pytest.fixture
def store(settings, gpu_model):
    """Return the store of a home with a small random Llama as the local model "small"."""
    gpu_model(settings.models_dir / "small")
    subset.ensure_bundled(settings)
    return RunStore(settings)


@pytest.mark.parametrize("quantization", ["nf4", "int8", "none"])
@pytest.mark.parametrize("packing", [True, False])
def test_run_lowers_loss_and_both_lanes_answer(store, quantization, packing):
    config = QLoRAConfig(
        model="small", quantization=quantization, packing=packing, max_steps=8, batch_size=4, max_length=256,
        learning_rate=5e-3, warmup_ratio=0, eval_rows=8, eval_steps=0, save_steps=0,
        optimizer="paged_adamw_8bit" if quantization == "nf4" else "adamw",
    )  # fmt: skip
    run = process.submit(store, config)
    deadline = time.monotonic() + 180
    while run.state().status in NOT_ENDED:
        assert time.monotonic() < deadline, run.log_tail(60)
        time.sleep(0.2)
    assert run.state().status == "finished", run.log_tail(60)
    evals = [event.loss for event in run.events() if event.event == "eval"]
    assert evals[-1] < evals[0] - 0.5

    engine = Engine(store.settings)
    question, greedy = [{"role": "user", "content": "Who keeps the lamp?"}], Sampling(temperature=0, max_new_tokens=16)
    lanes = [LaneRequest(question, greedy, adapter) for adapter in (None, adapter_key(run.id, "final"))]
    *_, reply = engine.ask(QueueEntry(resolve_lanes(store, lanes)))
    base, tuned = reply.generations
    assert base.tokens > 0
    assert tuned.text != base.text
    before = torch.cuda.memory_allocated()
    engine.unload()
    assert torch.cuda.memory_allocated() < before
    print(json.dumps({"quantization": quantization, "packing": packing, "losses": [round(x, 3) for x in evals]}))


def test_packed_loss_matches_padded_within_bfloat16(store):
    losses = {}
    for packing in (True, False):
        run = process.submit(
            store, QLoRAConfig(model="small", packing=packing, max_steps=1, batch_size=8, save_steps=0)
        )
        while run.state().status in NOT_ENDED:
            time.sleep(0.2)
        losses[packing] = next(event.loss for event in run.events() if event.event == "step")
    assert losses[True] == pytest.approx(losses[False], rel=2e-2)


def test_loftq_changes_initial_held_out_loss(store):
    """The first held-out loss is that of the base with LoftQ's correction: another one than NF4's alone."""
    before = {}
    for init in ("default", "loftq"):
        config = QLoRAConfig(model="small", lora_init=init, lora_rank=16, max_steps=2, eval_rows=8, save_steps=0)
        run = process.submit(store, config)
        while run.state().status in NOT_ENDED:
            time.sleep(0.2)
        assert run.state().status == "finished", run.log_tail(60)
        before[init] = next(event.loss for event in run.events() if event.event == "eval")
    assert before["loftq"] != before["default"]
