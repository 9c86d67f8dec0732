"""The layout of rows per model, and equal losses of single and packed rows."""

import pytest
import torch

from core.errors import StudioError
from core.kernels.attention import PACKED
from core.models.loading import LoadedBase
from core.runs.config import QLoRAConfig
from core.train import layout
from core.train.trainer import StudioTrainer
from core.train.trl_config import make_sft_config
from tests.helpers.answering_architectures import build
from tests.helpers.tiny_model import random_rows, tiny_llama


def layout_of(model, packing=True, longest=64):
    return layout.choose_layout(model, packing, "Packing is off", 0, longest)


def test_layout_of_supported_model_is_packed_with_window_unchanged():
    model = build("mistral")
    assert layout_of(model).kind == "packed"
    assert model.config._attn_implementation == PACKED
    assert model.config.sliding_window == 6


def test_layout_of_failing_model_is_padded_with_reason():
    model = build("stablelm")
    found = layout_of(model)
    assert (found.kind, model.config._attn_implementation) == ("padded", "sdpa")
    assert "rows of StableLmForCausalLM do not give the logits that each gives by itself" in found.note


def test_layout_without_packing_names_setting():
    found = layout_of(tiny_llama(attention=PACKED), packing=False)
    assert found.kind == "padded"
    assert found.note == "Rows are padded, with the model's own attention (sdpa), because Packing is off."


def test_layout_beyond_rotary_limit_is_single():
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    model = tiny_llama(rope_parameters=rope, max_position_embeddings=64)
    assert layout_of(model, longest=64).kind == "packed"
    found = layout_of(model, longest=65)
    assert found.kind == "single"
    assert "64 tokens" in found.note


def changed_by(model, change):
    plain = model.forward

    def forward(input_ids=None, **options):
        out = plain(input_ids=input_ids, **options)
        out.logits = change(input_ids, out.logits, options)
        return out

    model.forward = forward
    return model


def test_layout_of_model_with_wrong_padded_batch_is_single():
    def change(ids, logits, options):
        return logits + torch.randn_like(logits) if len(ids) > 1 or "row_lengths" in options else logits

    found = layout_of(changed_by(tiny_llama(), change))
    assert found.kind == "single"
    assert "in a padded batch rows of LlamaForCausalLM" in found.note


def test_layout_of_noncausal_model_raises():
    model = changed_by(tiny_llama(), lambda ids, logits, _: logits + logits.mean(dim=1, keepdim=True))
    with pytest.raises(StudioError, match="is not causal"):
        layout_of(model)


def test_single_layout_matches_packed_loss(tmp_path, tokenizer, monkeypatch):
    rows = random_rows([30, 12, 45, 7])
    losses = []
    alone = layout.Layout("single", "sdpa", "one at a time")
    for kind in ("packed", "single"):
        if kind == "single":
            monkeypatch.setattr("core.train.trainer.choose_layout", lambda *_: alone)
        config = QLoRAConfig(compute_dtype="float32", batch_size=4, max_steps=2, save_steps=0, neftune_alpha=0)
        base = LoadedBase(tiny_llama().requires_grad_(False), tokenizer)
        trainer = StudioTrainer(config, base, rows, args=make_sft_config(config, str(tmp_path), 2))
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
