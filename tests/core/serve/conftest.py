"""A server of the API over a tiny model with two adapters."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from core.models import embedded
from core.runs.config import QLoRAConfig
from core.runs.store import RunState, RunStore
from core.settings import Settings
from tests.helpers.api_server import ApiServer
from tests.helpers.datasets import copy_bundled
from tests.helpers.tiny_model import tiny_llama

CONTEXT = 600


@pytest.fixture(scope="module")
def served_store(tmp_path_factory, small_tokenizer):
    """A run store with the model "tiny" and two runs with adapters on it."""
    settings = Settings(home=tmp_path_factory.mktemp("home")).prepare()
    copy_bundled(settings)
    (embedded.folder(settings)).mkdir(parents=True)
    (embedded.folder(settings) / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 8192}')
    store = RunStore(settings)
    folder = settings.models_dir / "tiny"
    tiny_llama(vocab_size=len(small_tokenizer), max_position_embeddings=CONTEXT).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    for seed in (1, 2):
        run = store.create(QLoRAConfig(model="tiny", quantization="none", compute_dtype="float32"))
        run.save_state(RunState(status="finished", created=float(seed), ended=9.0))
        torch.manual_seed(seed)
        shape = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
        get_peft_model(tiny_llama(vocab_size=len(small_tokenizer)), shape).save_pretrained(run.adapter)
    return store


@pytest.fixture(scope="module")
def run_ids(served_store):
    """The ids of the two runs, the older one first."""
    return sorted((run.id for run in served_store.runs()), key=lambda id: served_store.run(id).saved_state().created)


@pytest.fixture(scope="module")
def api(served_store, run_ids):
    """A server without a key, of both runs."""
    server = ApiServer(served_store.settings, run_ids)
    yield server
    server.close()
