"""Real evaluations of a tiny model: seconds each."""

import time

import torch
from peft import LoraConfig, get_peft_model

from core.evaluate.store import ACTIVE, EvaluationStore
from core.runs.config import QLoRAConfig
from tests.helpers.datasets import copy_bundled
from tests.helpers.tiny_model import tiny_llama

TINY_SETTINGS = {"model": "tiny", "quantization": "none", "compute_dtype": "float32"}


def tiny_store(settings, tokenizer):
    """Return the store and a finished run with an adapter, of a home with a tiny model and the bundled subset."""
    folder = settings.models_dir / "tiny"
    model = tiny_llama(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    copy_bundled(settings)
    store = EvaluationStore(settings)
    run = store.runs.create(QLoRAConfig(**TINY_SETTINGS))
    torch.manual_seed(1)
    shape = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(model, shape).save_pretrained(run.adapter)
    run.save_state(run.saved_state().model_copy(update={"status": "finished", "ended": 1.0}))
    return store, run


def until(evaluation, condition, seconds=120):
    """Wait until a condition holds, and fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, evaluation.log_tail()
        time.sleep(0.01)


def ended(evaluation):
    """Wait for an evaluation's end, and return its state."""
    until(evaluation, lambda: evaluation.state().status not in ACTIVE)
    return evaluation.state()
