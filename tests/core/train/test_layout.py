"""Which layout of rows is chosen, and that a row at a time gives the numbers of a batch."""

import pytest
import torch

from core.errors import StudioError
from core.kernels.attention import PACKED
from core.models.loading import LoadedBase
from core.runs.config import QLoRAConfig
from core.train import layout
from core.train.trainer import StudioTrainer
from core.train.trl_config import sft_config
from tests.helpers.answering_architectures import build
from tests.helpers.tiny_model import random_rows, tiny_llama


def chosen(model, packing=True, longest=64):
    return layout.decide(model, packing, "auto: packing is off", 0, longest)


def test_a_model_that_passes_is_packed_and_keeps_its_windows():
    model = build("mistral")
    assert chosen(model).kind == "packed"
    assert model.config._attn_implementation == PACKED
    assert model.config.sliding_window == 6


def test_a_model_that_fails_is_padded_with_its_own_attention_and_a_reason():
    model = build("stablelm")
    found = chosen(model)
    assert (found.kind, model.config._attn_implementation) == ("padded", "sdpa")
    assert "rows of StableLmForCausalLM do not give the logits that each gives alone" in found.choice


def test_without_packing_the_reason_is_the_setting():
    found = chosen(tiny_llama(attention=PACKED), packing=False)
    assert found.kind == "padded"
    assert found.choice == "Attention is sdpa (auto: packing is off); rows are padded."


def test_rows_beyond_the_limit_of_rotary_angles_go_one_at_a_time():
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    model = tiny_llama(rope_parameters=rope, max_position_embeddings=64)
    assert chosen(model, longest=64).kind == "packed"
    found = chosen(model, longest=65)
    assert found.kind == "single"
    assert "64 tokens" in found.choice


def changed_by(model, change):
    plain = model.forward

    def forward(input_ids=None, **options):
        out = plain(input_ids=input_ids, **options)
        out.logits = change(input_ids, out.logits, options)
        return out

    model.forward = forward
    return model


def test_a_model_whose_padded_batch_is_wrong_takes_one_row_at_a_time():
    def change(ids, logits, options):
        return logits + torch.randn_like(logits) if len(ids) > 1 or "row_lengths" in options else logits

    found = chosen(changed_by(tiny_llama(), change))
    assert found.kind == "single"
    assert "in a padded batch rows of LlamaForCausalLM" in found.choice


def test_a_model_that_reads_later_tokens_is_refused():
    model = changed_by(tiny_llama(), lambda ids, logits, _: logits + logits.mean(dim=1, keepdim=True))
    with pytest.raises(StudioError, match="reads later tokens"):
        chosen(model)


def test_one_row_at_a_time_gives_the_loss_of_a_batch(tmp_path, tokenizer, monkeypatch):
    rows = random_rows([30, 12, 45, 7])
    losses = []
    alone = layout.Layout("single", "sdpa", "one at a time")
    for kind in ("packed", "single"):
        if kind == "single":
            monkeypatch.setattr("core.train.trainer.decide", lambda *_: alone)
        config = QLoRAConfig(compute_dtype="float32", batch_size=4, max_steps=2, save_steps=0, neftune_alpha=0)
        base = LoadedBase(tiny_llama().requires_grad_(False), tokenizer)
        trainer = StudioTrainer(config, base, rows, args=sft_config(config, str(tmp_path), 2))
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
