"""Loss and gradients on a small Llama against plain PyTorch, and every knob on its way to TRL and PEFT."""

import pytest
import torch
import torch.nn.functional as F
from tiny import random_rows, tiny_llama

from core.models.loading import LoadedBase
from core.runs.config import QLoRAConfig
from core.train import attention
from core.train.trainer import StudioTrainer, lora_config, sft_config

LENGTHS = [30, 12, 45, 7]


def trainer_of(tmp_path, tokenizer, packing: bool, **over) -> StudioTrainer:
    config = QLoRAConfig(packing=packing, compute_dtype="float32", batch_size=4, max_steps=2, save_steps=0, **over)
    base = LoadedBase(tiny_llama(attention=attention.PACKED if packing else "sdpa"), tokenizer)
    base.model.requires_grad_(False)
    arguments = sft_config(config, str(tmp_path), total_steps=2)
    trainer = StudioTrainer(config, base, random_rows(LENGTHS), args=arguments)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in trainer.model.named_parameters():  # B starts at 0, which would hide A's gradient
        if parameter.requires_grad and "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.02
    return trainer


def gradients(trainer) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("packing", [True, False])
def test_loss_and_gradients_equal_the_rows_one_by_one(tmp_path, tokenizer, packing):
    trainer = trainer_of(tmp_path, tokenizer, packing)
    rows = random_rows(LENGTHS)
    loss = trainer.compute_loss(trainer.model, trainer.collate(rows))
    loss.backward()
    together = gradients(trainer)

    trainer.model.zero_grad()
    trainer.model.get_base_model().set_attn_implementation("sdpa")
    losses = []
    for row in rows:
        logits = trainer.model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        losses.append(F.cross_entropy(logits, torch.tensor(row["labels"][1:]), reduction="sum"))
    tokens = sum(label != -100 for row in rows for label in row["labels"][1:])
    one_by_one = sum(losses) / tokens
    one_by_one.backward()

    assert loss.item() == pytest.approx(one_by_one.item(), rel=1e-5)
    for name, gradient in gradients(trainer).items():
        torch.testing.assert_close(together[name], gradient, rtol=1e-3, atol=1e-6)


def test_held_out_loss_is_a_mean_over_tokens_whatever_the_batches(tmp_path, tokenizer):
    trainer = trainer_of(tmp_path, tokenizer, packing=True)
    rows = random_rows(LENGTHS)
    assert trainer.held_out_loss(rows, 1) == pytest.approx(trainer.held_out_loss(rows, 4), rel=1e-6)
    assert trainer.model.training


def test_a_head_that_changes_logits_is_left_to_its_own_forward(tmp_path, tokenizer):
    trainer = trainer_of(tmp_path, tokenizer, packing=True)
    fast = trainer.summed_loss(trainer.collate(random_rows(LENGTHS)))
    trainer._head = None
    slow = trainer.summed_loss(trainer.collate(random_rows(LENGTHS)))
    assert fast[1] == slow[1]
    assert fast[0].item() == pytest.approx(slow[0].item(), rel=1e-5)
    trainer.model.get_base_model().config.final_logit_softcapping = 30.0
    assert trainer._plain_head() is None


def test_training_lowers_the_loss_and_leaves_the_base_as_it_was(tmp_path, tokenizer):
    trainer = trainer_of(tmp_path, tokenizer, packing=True, learning_rate=1e-2, scheduler="constant")
    rows = random_rows(LENGTHS)
    before = trainer.held_out_loss(rows, 4)
    frozen = {n: p.clone() for n, p in trainer.model.named_parameters() if not p.requires_grad}
    trainer.train()
    assert trainer.held_out_loss(rows, 4) < before
    assert all(torch.equal(p, frozen[n]) for n, p in trainer.model.named_parameters() if not p.requires_grad)
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters() if p.requires_grad)


# knob: (a value that is not the default, where it must arrive, what must stand there)
ARRIVES = {
    "lora_rank": (7, "lora.r", 7),
    "lora_alpha": (9, "lora.lora_alpha", 9),
    "lora_dropout": (0.2, "lora.lora_dropout", 0.2),
    "lora_targets": ("q_proj, v_proj", "lora.target_modules", {"q_proj", "v_proj"}),
    "learning_rate": (3e-3, "sft.learning_rate", 3e-3),
    "scheduler": ("linear", "sft.lr_scheduler_type", "linear"),
    "warmup_ratio": (0.5, "sft.warmup_steps", 50),
    "optimizer": ("paged_adamw_8bit", "sft.optim", "paged_adamw_8bit"),
    "adam_beta2": (0.95, "sft.adam_beta2", 0.95),
    "weight_decay": (0.01, "sft.weight_decay", 0.01),
    "max_grad_norm": (0.3, "sft.max_grad_norm", 0.3),
    "batch_size": (3, "sft.per_device_train_batch_size", 3),
    "gradient_accumulation": (5, "sft.gradient_accumulation_steps", 5),
    "epochs": (2.5, "sft.num_train_epochs", 2.5),
    "max_steps": (11, "sft.max_steps", 11),
    "gradient_checkpointing": ("on", "sft.gradient_checkpointing", True),
    "seed": (5, "sft.seed", 5),
    "save_steps": (6, "sft.save_steps", 6),
    "compute_dtype": ("float32", "sft.bf16", False),
}
# Read elsewhere: by loading (test_loading.py), tokenizing (test_batches.py) and the worker (test_worker.py).
ELSEWHERE = {
    "model", "quantization", "double_quantization", "subset", "max_length", "answers_only", "packing",
    "eval_steps", "eval_rows", "chat_template",
}  # fmt: skip


def test_every_knob_is_accounted_for():
    assert set(ARRIVES) | ELSEWHERE == set(QLoRAConfig.model_fields)


@pytest.mark.parametrize("knob", ARRIVES)
def test_a_changed_knob_arrives(tmp_path, knob):
    value, place, expected = ARRIVES[knob]
    kind, name = place.split(".")

    def arrived(config: QLoRAConfig):
        made = lora_config(config) if kind == "lora" else sft_config(config, str(tmp_path), total_steps=100)
        return getattr(made, name)

    assert arrived(QLoRAConfig(**{knob: value})) == expected
    assert arrived(QLoRAConfig()) != expected
