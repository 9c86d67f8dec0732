"""Two tiny models, and runs with adapters on them."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from core.runs.config import QLoRAConfig
from core.runs.store import RunState
from tests.helpers.tiny_model import tiny_llama

LAYERS = {"tiny": 2, "other": 1}


@pytest.fixture
def store(runs, small_tokenizer):
    """A run store with the models "tiny" and "other"."""
    for name, layers in LAYERS.items():
        folder = runs.settings.models_dir / name
        model = tiny_llama(vocab_size=len(small_tokenizer), num_hidden_layers=layers, max_position_embeddings=600)
        model.save_pretrained(folder)
        small_tokenizer.save_pretrained(folder)
    return runs


@pytest.fixture
def tuned(store, small_tokenizer):
    """Make a finished run with an adapter on one of the models."""

    def make(model="tiny", rank=4, seed=0, **config):
        settings = {"quantization": "none", "compute_dtype": "float32"} | config
        run = store.create(QLoRAConfig(model=model, **settings))
        run.save_state(RunState(status="finished", created=1.0, ended=2.0))
        torch.manual_seed(seed)
        base = tiny_llama(vocab_size=len(small_tokenizer), num_hidden_layers=LAYERS[model])
        shape = LoraConfig(r=rank, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
        get_peft_model(base, shape).save_pretrained(run.adapter)
        return run

    return make
