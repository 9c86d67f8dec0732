"""A small subset of labeled texts, and tiny models of the families that classifiers are trained from."""

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from core.data import sources, subset
from core.data.recipe import Recipe
from core.runs.config import QLoRAConfig

LABELS = ["bad day", "good film"]
# Sizes under the names of all families; a configuration keeps what it knows.
_SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "n_embd": 32,
    "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.3,
}  # fmt: skip
CLASSIFY = {
    "model": "tiny", "subset": "mood", "task": "classify", "quantization": "none", "compute_dtype": "float32",
    "max_length": 64, "lora_rank": 4, "learning_rate": 5e-3,
}  # fmt: skip


def write_model(settings, family, tokenizer, causal=False, name="tiny"):
    """Write a random model of a family, and its tokenizer, among the local models."""
    config = AutoConfig.for_model(family)
    known = {key: value for key, value in _SMALL.items() if hasattr(config, key)}
    config = AutoConfig.for_model(
        family, **known, vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2
    )
    torch.manual_seed(0)
    model = (AutoModelForCausalLM if causal else AutoModel).from_config(config)
    model.save_pretrained(settings.models_dir / name)
    tokenizer.save_pretrained(settings.models_dir / name)


def write_subset(settings, name="mood", rows=40, labels=LABELS):
    """Create a subset of `rows` texts per label, a quarter of them held out, whose words give the label away."""
    path = settings.home / f"{name}.csv"
    texts = [f'"A {label}, number {number}, of {label} words",{label}\n' for number in range(rows) for label in labels]
    path.write_text("text,label\n" + "".join(texts))
    data = sources.open_file(settings, path)
    return subset.create(settings, name, Recipe(dataset=data.id, held_out_share=0.25))


def classify_config(**over):
    """Return the settings of a short run that trains a classifier."""
    return QLoRAConfig(**(CLASSIFY | over))
