"""Fixtures: a Llama large enough to quantize and small enough to create here, with the embedded tokenizer."""

import os
import shutil
from pathlib import Path

import pytest

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@pytest.fixture(scope="session")
def tokenizer_folder(request) -> Path:
    """Return the embedded model's folder, or the one that STUDIO_TEST_TOKENIZER names on a machine without an index."""
    given = os.environ.get("STUDIO_TEST_TOKENIZER")
    return Path(given) if given else request.getfixturevalue("embedded_model")


@pytest.fixture(scope="session")
def smol(request) -> Path:
    """Return the embedded model's folder, or the folder STUDIO_TEST_MODEL names."""
    given = os.environ.get("STUDIO_TEST_MODEL")
    return Path(given) if given else request.getfixturevalue("embedded_model")


@pytest.fixture
def gpu_model(tokenizer_folder):
    """Return a function that writes the model to a folder."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    def write(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=512, intermediate_size=1024, num_hidden_layers=4,
            num_attention_heads=8, num_key_value_heads=4, eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        for name in TOKENIZER_FILES:
            shutil.copy(tokenizer_folder / name, folder / name)

    return write
