"""Real evaluations of a tiny model: seconds each."""

import time

import torch
from peft import LoraConfig, get_peft_model

from core.evaluate.store import ACTIVE, EvaluationStore
from core.runs.config import QLoRAConfig
from tests.helpers.datasets import copy_bundled
from tests.helpers.tiny_model import tiny_llama

KNOBS = {"model": "tiny", "quantization": "none", "compute_dtype": "float32"}


def tiny_store(settings, tokenizer):
    """A home with a tiny model, the bundled subset, and one ended run with an adapter; the store and the run."""
    folder = settings.models_dir / "tiny"
    model = tiny_llama(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    copy_bundled(settings)
    store = EvaluationStore(settings)
    run = store.runs.create(QLoRAConfig(**KNOBS))
    torch.manual_seed(1)
    shape = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(model, shape).save_pretrained(run.adapter)
    run.save_state(run.saved_state().model_copy(update={"status": "finished", "ended": 1.0}))
    return store, run


def until(evaluation, true, seconds=120):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, evaluation.log_tail()
        time.sleep(0.01)


def ended(evaluation):
    until(evaluation, lambda: evaluation.state().status not in ACTIVE)
    return evaluation.state()
