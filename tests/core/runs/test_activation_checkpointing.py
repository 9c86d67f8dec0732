"""Activations that blocks keep or compute again: the plan, and that it is carried out batch by batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig

from core.kernels import attention
from core.models.loading import LoadedBase
from core.models.shape import ModelShape
from core.runs.activation_checkpointing import fuses, memory_budget, plan
from core.runs.config import QLoRAConfig
from core.runs.forecast import MARGIN, forecast
from core.train import activation_checkpointing as recomputing
from core.train.kernels.patch import fuse_blocks
from core.train.trainer import StudioTrainer
from core.train.trl_config import make_sft_config
from tests.helpers.tiny_model import random_rows, tiny_llama

GIB = 2**30
SEVEN = ModelShape.from_config(LlamaConfig(vocab_size=32000))
LENGTHS = [30, 12, 45, 7]


@given(free_gib=st.integers(6, 80), tokens=st.integers(512, 32768), fused=st.booleans())
def test_plan_auto_recomputes_fewest_blocks_that_fit(free_gib, tokens, fused):
    config = QLoRAConfig()
    chosen = plan(config, SEVEN, 32, free_gib * GIB, fused, tokens)

    def fits(blocks):
        return forecast(SEVEN, config, blocks, 2, fused, tokens).device <= free_gib * GIB * (1 - MARGIN)

    assert chosen.blocks == 32 or fits(chosen.blocks)
    assert not chosen.blocks or not fits(chosen.blocks - 1)
    assert ("may not fit" in chosen.text) != fits(chosen.blocks)
    assert plan(config, SEVEN, 32, free_gib * GIB, fused, tokens + 512).blocks >= chosen.blocks


@pytest.mark.parametrize(
    ("wish", "free_gib", "blocks", "offload"),
    [("on", 80, 32, False), ("off", 8, 0, False), ("offload", 8, 32, True), ("on", None, 32, False),
     ("offload", None, 32, False), ("auto", None, 0, False), ("auto", 80, 0, False), ("auto", 2, 32, False)],
)  # fmt: skip
def test_plan_follows_explicit_settings(wish, free_gib, blocks, offload):
    config = QLoRAConfig(gradient_checkpointing=wish)
    chosen = plan(config, SEVEN, 32, free_gib and free_gib * GIB, True, 4096)
    assert (chosen.blocks, chosen.offload) == (blocks, offload)
    reported = {0: "is off", 32: "is on"}[blocks]
    assert reported in chosen.text
    assert ("machine's memory" in chosen.text) == offload


def test_plan_without_forecast_recomputes_all_blocks_on_gpu():
    assert plan(QLoRAConfig(), None, 12, 80 * GIB, False, 4096).blocks == 12


def test_memory_budget_is_at_most_the_setting():
    assert memory_budget(QLoRAConfig(gpu_memory=10.5), 80 * GIB) == 10.5 * GIB
    assert memory_budget(QLoRAConfig(gpu_memory=10.5), 4 * GIB) == 4 * GIB
    assert memory_budget(QLoRAConfig(), 80 * GIB) == 80 * GIB
    for way in ("on", "off", "offload"):
        assert memory_budget(QLoRAConfig(gpu_memory=10.5, gradient_checkpointing=way), 80 * GIB) == 80 * GIB


@pytest.mark.parametrize(
    ("over", "shape", "expected"),
    [
        ({}, {}, True), ({"kernels": "off"}, {}, False), ({"lora_dropout": 0.1}, {}, True),
        ({"lora_dora": True}, {}, False), ({"quantization": "int8"}, {}, False), ({"quantization": "none"}, {}, True),
        ({"modules_to_save": "mlp"}, {}, False), ({"modules_to_save": "lm_head"}, {}, True),
        ({}, {"attention_bias": True}, False), ({}, {"hidden_act": "gelu"}, False),
    ],
)  # fmt: skip
def test_fuses_predicts_fused_blocks(over, shape, expected):
    assert fuses(QLoRAConfig(**over), LlamaConfig(**shape)) == expected


def trainer_of(tmp_path, tokenizer, fused: bool, **over) -> StudioTrainer:
    config = QLoRAConfig(compute_dtype="float32", batch_size=4, max_steps=2, save_steps=0, **over)
    base = LoadedBase(tiny_llama(attention=attention.PACKED, num_hidden_layers=3), tokenizer)
    base.model.requires_grad_(False)
    made = StudioTrainer(config, base, random_rows(LENGTHS), args=make_sft_config(config, str(tmp_path), total_steps=2))
    if fused:
        made.blocks, _ = fuse_blocks(made.model.get_base_model())
        made.planner = recomputing.Planner(config, made.model.get_base_model(), made.blocks, random_rows(LENGTHS))
    return made


@pytest.mark.parametrize("fused", [True, False])
def test_recomputing_keeps_loss_and_gradients(tmp_path, tokenizer, fused):
    found = {}
    for wish in ("off", "on"):
        torch.manual_seed(0)
        trainer = trainer_of(tmp_path, tokenizer, fused, gradient_checkpointing=wish)
        loss = trainer.compute_loss(trainer.model.train(), trainer.collate(random_rows(LENGTHS)))
        loss.backward()
        found[wish] = loss.detach(), [p.grad for p in trainer.model.parameters() if p.requires_grad]
        layers = trainer.model.get_base_model().model.layers
        again = [not b.keep for b in trainer.blocks] if fused else [layer.gradient_checkpointing for layer in layers]
        # a fused block that comes last is kept: its backward pass comes at once
        assert again == [wish == "on"] * 2 + [wish == "on" and not fused]
    torch.testing.assert_close(found["on"], found["off"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("fused", [True, False])
def test_short_batch_recomputes_fewer_blocks_than_long_batch(tmp_path, tokenizer, fused, monkeypatch):
    """The planner recomputes one block per 1,024 tokens of the batch."""
    trainer = trainer_of(tmp_path, tokenizer, fused)

    def plan_by_length(config, shape, total, free_gib, fuses, tokens, *_):
        return recomputing.Recompute(min(total, tokens // 1024), total, False, "a test")

    monkeypatch.setattr(recomputing, "plan", plan_by_length)
    planner = recomputing.Planner(
        trainer.planner._config, trainer.model.get_base_model(), trainer.blocks, random_rows([900, 900, 800, 900])
    )
    layers = trainer.model.get_base_model().model.layers

    def again():
        return [not b.keep for b in trainer.blocks] if fused else [layer.gradient_checkpointing for layer in layers]

    assert again() == [True, True, not fused]
    planner.prepare(1500)
    assert again() == [True, False, False]
    planner.prepare(100)
    assert again() == [False, False, False]
