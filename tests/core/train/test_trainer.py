"""Loss and gradients of a small Llama equal plain PyTorch's, and every setting reaches TRL or PEFT."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from core.data.tokens import Renderer
from core.hardware import cpu
from core.kernels import attention
from core.models.loading import LoadedBase
from core.runs.adapter import lora_config
from core.runs.config import QLoRAConfig
from core.train import samples
from core.train.samples import decode_answer, generate_answers
from core.train.trainer import StudioTrainer
from core.train.trl_config import OPTIMIZERS, make_sft_config
from tests.helpers.template_families import FAMILIES
from tests.helpers.tiny_model import random_rows, tiny_llama

LENGTHS = [30, 12, 45, 7]


def trainer_of(tmp_path, tokenizer, packing: bool, **over) -> StudioTrainer:
    config = QLoRAConfig(packing=packing, compute_dtype="float32", batch_size=4, max_steps=2, save_steps=0, **over)
    base = LoadedBase(tiny_llama(attention=attention.PACKED if packing else "sdpa"), tokenizer)
    base.model.requires_grad_(False)
    arguments = make_sft_config(config, str(tmp_path), total_steps=2)
    trainer = StudioTrainer(config, base, random_rows(LENGTHS), args=arguments)
    generator = torch.Generator().manual_seed(1)
    # lora_B starts at 0, which would make the gradients of lora_A zero.
    for name, parameter in trainer.model.named_parameters():
        if parameter.requires_grad and "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.02
    return trainer


def gradients(trainer) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("packing", [True, False])
def test_batch_loss_and_gradients_match_rows_one_by_one(tmp_path, tokenizer, packing):
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


def test_held_out_loss_is_independent_of_batch_size(tmp_path, tokenizer):
    trainer = trainer_of(tmp_path, tokenizer, packing=True)
    rows = random_rows(LENGTHS)
    assert trainer.held_out_loss(rows, 1) == pytest.approx(trainer.held_out_loss(rows, 4), rel=1e-6)
    assert trainer.model.training


def test_head_that_changes_logits_uses_models_forward(tmp_path, tokenizer):
    trainer = trainer_of(tmp_path, tokenizer, packing=True)
    fast = trainer.summed_loss(trainer.collate(random_rows(LENGTHS)))
    trainer._head = None
    slow = trainer.summed_loss(trainer.collate(random_rows(LENGTHS)))
    assert fast[1] == slow[1]
    assert fast[0].item() == pytest.approx(slow[0].item(), rel=1e-5)
    trainer.model.get_base_model().config.final_logit_softcapping = 30.0
    assert trainer.find_head() is None


def test_training_lowers_loss_and_leaves_base_unchanged(tmp_path, tokenizer):
    trainer = trainer_of(tmp_path, tokenizer, packing=True, learning_rate=1e-2, scheduler="constant")
    rows = random_rows(LENGTHS)
    before = trainer.held_out_loss(rows, 4)
    frozen = {n: p.clone() for n, p in trainer.model.named_parameters() if not p.requires_grad}
    trainer.train()
    assert trainer.held_out_loss(rows, 4) < before
    assert all(torch.equal(p, frozen[n]) for n, p in trainer.model.named_parameters() if not p.requires_grad)
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters() if p.requires_grad)


# Setting: (a value that is not the default, where it must arrive, what must stand there)
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
    "seed": (5, "sft.seed", 5),
    "save_steps": (6, "sft.save_steps", 6),
    "compute_dtype": ("float32", "sft.bf16", False),
    "lora_rslora": (True, "lora.use_rslora", True),
    "lora_dora": (True, "lora.use_dora", True),
    "lora_bias": ("all", "lora.bias", "all"),
    "lora_init": ("gaussian", "lora.init_lora_weights", "gaussian"),
    "modules_to_save": ("lm_head, norm", "lora.modules_to_save", ["lm_head", "norm"]),
    "adam_beta1": (0.8, "sft.adam_beta1", 0.8),
    "report_to": ("tensorboard", "sft.report_to", ["tensorboard"]),
}
# Read elsewhere: by loading (test_loading.py), tokenizing (test_batches.py), the loss and the noise (below), what
# blocks keep (test_activation_checkpointing.py), the task (test_classifier_trainer.py), the ranks
# (test_distributed.py), the worker (test_worker.py) and while it runs (test_resume.py).
ELSEWHERE = {
    "model", "revision", "quantization", "double_quantization", "subset", "max_length", "answers_only", "packing",
    "eval_steps", "eval_rows", "chat_template", "attention", "held_out_share", "neftune_alpha", "loss",
    "task", "merge_labels", "label_smoothing", "gradient_checkpointing", "gpu_memory", "kernels", "gpus",
    "deterministic", "keep_checkpoints", "keep_best", "early_stopping", "sample_prompts", "sample_tokens",
    "start_adapter",
}  # fmt: skip


def test_every_setting_is_listed():
    assert set(ARRIVES) | ELSEWHERE == set(QLoRAConfig.model_fields)


@pytest.mark.parametrize("setting", ARRIVES)
def test_changed_setting_reaches_library_config(tmp_path, monkeypatch, setting):
    # On other CPUs the default dtype is float32.
    monkeypatch.setattr(cpu, "multiplies_bfloat16", lambda: True)
    value, place, expected = ARRIVES[setting]
    kind, name = place.split(".")

    def arrived(config: QLoRAConfig):
        made = (
            lora_config(config, config.target_names)
            if kind == "lora"
            else make_sft_config(config, str(tmp_path), total_steps=100)
        )
        return getattr(made, name)

    assert arrived(QLoRAConfig(**{setting: value})) == expected
    assert arrived(QLoRAConfig()) != expected


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_known_to_transformers(tmp_path, name):
    made = make_sft_config(QLoRAConfig(optimizer=name), str(tmp_path), total_steps=10)
    assert made.optim == OPTIMIZERS[name]


@pytest.mark.parametrize("over", [{"loss": "dft"}, {"label_smoothing": 0.3}])
def test_objective_changes_training_loss_not_held_out_loss(tmp_path, tokenizer, over):
    plain, other = (trainer_of(tmp_path, tokenizer, True, **values) for values in ({}, over))
    rows = random_rows(LENGTHS)
    losses = [made.compute_loss(made.model, made.collate(rows)).item() for made in (plain, other)]
    assert losses[0] != losses[1]
    assert plain.held_out_loss(rows, 4) == other.held_out_loss(rows, 4)


def test_neftune_noise_is_added_only_in_training(tmp_path, tokenizer):
    trainer = trainer_of(tmp_path, tokenizer, True, neftune_alpha=50.0)
    rows = random_rows(LENGTHS)
    trainer.model.train()
    first, second = (trainer.compute_loss(trainer.model, trainer.collate(rows)).item() for _ in range(2))
    assert first != second
    assert trainer.held_out_loss(rows, 4) == trainer.held_out_loss(rows, 4)


def test_take_rows_returns_rows_of_step_once(tmp_path, tokenizer):
    trainer = trainer_of(tmp_path, tokenizer, True)
    trainer.compute_loss(trainer.model, trainer.collate(random_rows(LENGTHS)))
    assert trainer.take_rows() == [0, 1, 2, 3]
    assert trainer.take_rows() == []
    trainer.held_out_loss(random_rows(LENGTHS), 2)
    assert trainer.take_rows() == [], "what is measured on was not trained on"


@pytest.mark.parametrize("layout", ["packed", "padded", "single"])
def test_generate_answers_match_generate_and_leave_training_unchanged(tmp_path, tokenizer, layout, monkeypatch):
    batches, generate, packing = [], samples._generate, layout == "packed"
    monkeypatch.setattr(samples, "_generate", lambda *given: batches.append(len(given[1])) or generate(*given))
    config = QLoRAConfig(packing=packing, compute_dtype="float32", batch_size=4, max_steps=2, save_steps=0)
    kind = attention.PACKED if packing else "sdpa"
    base = LoadedBase(tiny_llama(vocab_size=len(tokenizer), attention=kind), tokenizer)
    base.model.requires_grad_(False)
    renderer = Renderer(tokenizer)
    made = StudioTrainer(
        config, base, random_rows(LENGTHS), renderer=renderer, args=make_sft_config(config, str(tmp_path), 2)
    )
    before = made.held_out_loss(random_rows(LENGTHS), 4)
    assert made.layout.kind == ("packed" if packing else "padded")
    made.layout = dataclasses.replace(made.layout, kind=layout)
    questions = ["Hi?", "What is a tide, and when does it turn?"]
    answers = generate_answers(made, questions, 6)
    assert batches == ([1, 1] if layout == "single" else [2])
    for question, answer in zip(questions, answers, strict=True):
        ids = torch.tensor([renderer.prompt_ids([{"role": "user", "content": question}])])
        alone = made.model.get_base_model()
        alone.set_attn_implementation("sdpa")
        out = alone.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=2
        )
        assert answer == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        alone.set_attn_implementation(kind)
    assert made.model.training
    made.layout = dataclasses.replace(made.layout, kind="packed" if packing else "padded")
    assert made.held_out_loss(random_rows(LENGTHS), 4) == before


def test_pissa_adapter_is_saved_for_original_base_too(tmp_path, tokenizer):
    """The converted PiSSA adapter on the original base gives the logits of the trained model."""
    from peft import PeftModel

    config = QLoRAConfig(
        lora_init="pissa", quantization="none", compute_dtype="float32", batch_size=4, max_steps=3, save_steps=0,
        learning_rate=1e-2, packing=False, attention="sdpa",
    )  # fmt: skip
    base = LoadedBase(tiny_llama(), tokenizer)
    base.model.requires_grad_(False)
    trainer = StudioTrainer(config, base, random_rows(LENGTHS), args=make_sft_config(config, str(tmp_path / "c"), 3))
    trainer.train()
    trainer.save_model(str(tmp_path / "adapter"))
    ids = torch.tensor([random_rows([20])[0]["input_ids"]])
    trainer.model.eval()
    with torch.no_grad():
        expected = trainer.model(ids).logits
        plain = PeftModel.from_pretrained(tiny_llama(), tmp_path / "adapter").eval()
        torch.testing.assert_close(plain(ids).logits, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("written", "ends", "stops", "answer"),
    [
        ("The sea.<|im_end|>\n", (), ("<|im_end|>",), "The sea."),
        ("The sea.</s></s>rest", ("</s>",), (), "The sea."),
        ("The sea.", ("</s>",), ("###",), "The sea."),
    ],
)
def test_decode_answer_ends_at_first_end_token_or_stop_string(written, ends, stops, answer):
    tokenizer = FAMILIES[0].tokenizer()
    ids = tokenizer(written, add_special_tokens=False)["input_ids"]
    assert decode_answer(tokenizer, ids, {tokenizer.convert_tokens_to_ids(end) for end in ends}, stops) == answer


def test_pad_token_outside_embedding_matrix_is_replaced(tmp_path):
    """Many fine-tuned Llama models add `<pad>` as id 32000 to a matrix of 32,000 rows."""
    tokenizer = FAMILIES[0].tokenizer()
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    config = QLoRAConfig(packing=False, compute_dtype="float32", batch_size=4, max_steps=2, save_steps=0)
    base = LoadedBase(tiny_llama(vocab_size=rows), tokenizer)
    base.model.requires_grad_(False)
    options = {"renderer": Renderer(tokenizer, "chatml"), "args": make_sft_config(config, str(tmp_path), 2)}
    made = StudioTrainer(config, base, random_rows(LENGTHS), **options)
    assert made.pad_id < rows
    assert math.isfinite(made.held_out_loss(random_rows(LENGTHS), 4))
    assert len(generate_answers(made, ["Hi?", "What is a tide, and when does it turn?"], 4)) == 2
