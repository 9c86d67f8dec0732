"""A studio with two tiny models, runs trained on them, and the handlers of the Chat tab over one engine."""

import pytest

from core.chat.engine import Engine
from core.data import sources
from core.runs import checkpoints
from core.runs.config import QLoRAConfig
from core.runs.store import RunState, RunStore
from studio.chat.parts import ChatParts
from tests.helpers.datasets import copy_bundled

SHORT = {"temperature": 0, "max_new_tokens": 6}


@pytest.fixture
def store(settings, small_tokenizer):
    from tests.helpers.tiny_model import tiny_llama

    copy_bundled(settings)
    for name, layers in (("tiny", 2), ("other", 1)):
        folder = settings.models_dir / name
        tiny_llama(vocab_size=len(small_tokenizer), num_hidden_layers=layers).save_pretrained(folder)
        small_tokenizer.save_pretrained(folder)
    return RunStore(settings)


@pytest.fixture
def tuned(store, small_tokenizer):
    """Create a finished run on one of the models, with a final adapter and checkpoints at the given steps."""
    from peft import LoraConfig, get_peft_model

    from tests.helpers.tiny_model import tiny_llama

    def make(model="tiny", steps=(), seed=0, created=1.0, **config):
        precision = {"quantization": "none", "compute_dtype": "float32"} | config
        run = store.create(QLoRAConfig(model=model, subset=sources.BUNDLED, **precision))
        run.save_state(RunState(status="finished", created=created, ended=created + 1))
        base = tiny_llama(vocab_size=len(small_tokenizer), num_hidden_layers=2 if model == "tiny" else 1)
        shape = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
        import torch

        torch.manual_seed(seed)
        adapted = get_peft_model(base, shape)
        for step in steps:
            adapted.save_pretrained(run.checkpoints_dir / f"checkpoint-{step}")
            checkpoints.mark_complete(run.checkpoints_dir, checkpoints.Checkpoint(step=step))
            for name, parameter in adapted.named_parameters():
                if "lora_" in name:
                    parameter.data *= 1.5
        adapted.save_pretrained(run.adapter)
        return run

    return make


@pytest.fixture
def parts(store):
    return ChatParts.create(Engine(store.settings))


@pytest.fixture
def chat(parts):
    """Open a new conversation with short greedy answers and return its id."""

    def open_chat(**settings):
        chat_id = parts.chat_list.open_chat("")["chat_id"]
        with parts.conversations.change(chat_id) as conversation:
            conversation.settings = SHORT | settings
        return chat_id

    return open_chat
