"""Losses and gradients of fused blocks equal those of transformers and PEFT, in float32 on the CPU.

The Triton kernels are compared with the same PyTorch code in tests/gpu/test_kernels_gpu.py.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import MistralConfig, MistralForCausalLM

from core.kernels import attention
from core.train.batches import pack, pad
from core.train.kernels import elementwise
from core.train.kernels.patch import fuse_blocks
from core.train.loss import chunked_cross_entropy
from tests.helpers.matched_dropout import match_fused_dropout
from tests.helpers.tiny_model import random_rows, tiny_llama

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LENGTHS = [30, 12, 45, 7]


def tuned(targets=ALL, kind=attention.PACKED, **over):
    """Return a tiny Llama with an adapter whose lora_up is not zero, so that it changes the output."""
    options = {"lora_alpha": 12, "target_modules": targets} | over
    model = tiny_llama(attention=kind, num_hidden_layers=3)
    model.requires_grad_(False)
    tuned = get_peft_model(model, LoraConfig(r=6, **options))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    return tuned.train()


def loss_and_gradients(model, batch):
    """Return the mean loss of a batch, and the gradients by parameter name."""
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    base = model.get_base_model()
    hidden = base.get_decoder()(**inputs, use_cache=False).last_hidden_state
    total, count = chunked_cross_entropy(hidden, base.lm_head.weight, batch["labels"])
    (total / count).backward()
    return total.item() / count, {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def loss_of(model, batch):
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    return model.get_base_model()(**inputs).logits.sum().item()


def assert_same_training(model, batch, **settings):
    """Compare loss and gradients of a model before and after its blocks are fused."""
    expected, wanted = loss_and_gradients(model, batch)
    model.zero_grad()
    blocks, notes = fuse_blocks(model.get_base_model())
    assert len(blocks) == 3, notes
    for block in blocks:
        for name, value in settings.items():
            setattr(block, name, value)
        block.scratch.tight = bool(block.chunk)
    found, gradients = loss_and_gradients(model, batch)
    assert found == pytest.approx(expected, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, wanted[name], rtol=1e-4, atol=1e-7, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize(
    "settings", [{}, {"keep": False}, {"keep": False, "chunk": 32}], ids=["kept", "again", "chunks"]
)
@pytest.mark.parametrize("targets", [ALL, ["q_proj", "v_proj"], ["gate_proj", "o_proj"]])
def test_fused_blocks_match_plain_losses_and_gradients(targets, settings):
    assert_same_training(tuned(targets), pack(random_rows(LENGTHS)), **settings)


@pytest.mark.parametrize("keep", [True, False])
def test_fused_blocks_on_padded_rows_match_plain_blocks(keep):
    assert_same_training(tuned(kind="sdpa"), pad(random_rows(LENGTHS), pad_id=0), keep=keep)


def test_fused_blocks_with_rank_pattern_match_plain_blocks():
    assert_same_training(tuned(rank_pattern={"q_proj": 3, "down_proj": 9}, use_rslora=True), pack(random_rows(LENGTHS)))


def test_fused_blocks_on_4bit_weights_match_plain_blocks():
    import bitsandbytes

    model = tiny_llama(attention=attention.PACKED, num_hidden_layers=3, hidden_size=128, intermediate_size=192)
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            packed = bitsandbytes.nn.Linear4bit(
                module.in_features, module.out_features, bias=False, quant_type="nf4", compute_dtype=torch.float32
            )
            packed.weight = bitsandbytes.nn.Params4bit(module.weight.data, requires_grad=False, quant_type="nf4")
            model.set_submodule(name, packed.to("cpu"))
    model.requires_grad_(False)
    model = get_peft_model(model, LoraConfig(r=4, target_modules=ALL)).train()
    assert type(model.get_base_model().model.layers[0].mlp.up_proj.base_layer).__name__ == "Linear4bit"
    assert_same_training(model, pack(random_rows(LENGTHS)), keep=False)


def test_fused_blocks_accumulate_gradients_of_two_passes():
    model, first, second = tuned(), pack(random_rows(LENGTHS)), pack(random_rows([9, 40], seed=3))
    fuse_blocks(model.get_base_model())
    _, alone = loss_and_gradients(model, first)
    _, both = loss_and_gradients(model, second)
    model.zero_grad()
    _, other = loss_and_gradients(model, second)
    for name, gradient in both.items():
        torch.testing.assert_close(gradient, alone[name] + other[name], rtol=1e-4, atol=1e-7)


def test_fused_blocks_leave_evaluation_and_generation_unchanged():
    plain, fused = tuned().eval(), tuned().eval()
    fuse_blocks(fused.get_base_model())
    batch = {k: v for k, v in pack(random_rows(LENGTHS)).items() if k != "labels"}
    ids = torch.tensor([random_rows([9])[0]["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(fused(**batch).logits, plain(**batch).logits, rtol=1e-4, atol=1e-5)
        with fused.disable_adapter(), plain.disable_adapter():
            assert torch.equal(fused(**batch).logits, plain(**batch).logits)
        for model in (plain, fused):
            model.get_base_model().set_attn_implementation("sdpa")
        notes = [m.generate(input_ids=ids, max_new_tokens=8, do_sample=False) for m in (plain, fused)]
    assert torch.equal(*notes)


@pytest.mark.parametrize("settings", [{}, {"keep": False}, {"keep": False, "chunk": 32}])
@pytest.mark.parametrize("targets", [ALL, ["q_proj", "v_proj", "down_proj"]])
def test_fused_blocks_with_same_dropout_match_plain_blocks(targets, settings):
    model = tuned(targets, lora_dropout=0.2)
    batch = pack(random_rows(LENGTHS))
    torch.manual_seed(5)
    with match_fused_dropout(model, 0.2, sum(LENGTHS), settings.get("chunk", 0)):
        expected, wanted = loss_and_gradients(model, batch)
    model.zero_grad()
    blocks, notes = fuse_blocks(model.get_base_model())
    assert len(blocks) == 3, notes
    for block in blocks:
        block.keep, block.chunk = settings.get("keep", True), settings.get("chunk", 0)
    torch.manual_seed(5)
    found, gradients = loss_and_gradients(model, batch)
    assert found == pytest.approx(expected, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-7)
    other, _ = loss_and_gradients(model, batch)
    assert other != found, "another step drops others"
    torch.manual_seed(5)
    assert loss_and_gradients(model, batch)[0] == found, "a run that continues from a checkpoint drops the same"
    with torch.no_grad():
        model.eval()
        assert loss_of(model, batch) == loss_of(model, batch)


@given(share=st.floats(0.01, 0.9), seed=st.integers(2**33, 2**62))
def test_dropout_zeroes_its_share_and_keeps_mean(share, seed):
    ones = torch.ones(400, 500)
    left, again = elementwise.dropout(ones, share, seed), torch.ones(400, 500)
    elementwise.dropout_backward(ones, share, seed, again)
    assert torch.equal(again, ones + left)
    assert float((left == 0).float().mean()) == pytest.approx(share, abs=0.01)
    assert float(left.mean()) == pytest.approx(1, abs=0.06)
    other = elementwise.dropout(ones, share, seed + 1)
    both = float(((left == 0) & (other == 0)).float().mean())
    assert both == pytest.approx(share**2, abs=0.01), "two parts drop independently"


@pytest.mark.parametrize(
    ("over", "reason"),
    [({"use_dora": True}, "variant of LoRA"),
     ({"modules_to_save": ["input_layernorm"]}, "norm is trained"), ({"modules_to_save": ["mlp"]}, "trained in full")],
)  # fmt: skip
def test_unsupported_adapter_is_not_fused_and_reason_is_noted(over, reason):
    model = tuned(**over, targets=["q_proj", "v_proj"])
    blocks, notes = fuse_blocks(model.get_base_model())
    assert blocks == []
    assert reason in notes[0]
    loss, _ = loss_and_gradients(model, pack(random_rows(LENGTHS)))
    assert loss > 0


@pytest.mark.parametrize("form", [pack, lambda rows: pad(rows, 0)], ids=["packed", "padded"])
def test_fused_mistral_block_keeps_sliding_window(form):
    torch.manual_seed(0)
    shape = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
             "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 6}  # fmt: skip
    kind = attention.PACKED if form is pack else "sdpa"
    model = MistralForCausalLM(MistralConfig(**shape, attn_implementation=kind)).requires_grad_(False)
    adapted = get_peft_model(model, LoraConfig(r=6, target_modules=ALL)).train()
    rows = random_rows(LENGTHS)
    model.config.sliding_window = None
    unlimited, _ = loss_and_gradients(adapted, form(rows))
    adapted.zero_grad()
    model.config.sliding_window = 6
    limited, _ = loss_and_gradients(adapted, form(rows))
    assert abs(limited - unlimited) > 1e-4
    adapted.zero_grad()
    assert_same_training(adapted, form(rows))


def test_other_architecture_is_not_fused():
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                                             intermediate_size=64))  # fmt: skip
    blocks, notes = fuse_blocks(model)
    assert blocks == []
    assert "no decoder layers" in notes[0]


def test_fifty_float32_steps_match_trl_losses(tmp_path, tokenizer):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from core.models.loading import LoadedBase
    from core.runs.adapter import lora_config
    from core.runs.config import QLoRAConfig
    from core.train.trainer import StudioTrainer
    from core.train.trl_config import make_sft_config

    steps, rows = 50, [row for seed in range(50) for row in random_rows([30, 12, 21, 7], seed=seed)]
    config = QLoRAConfig(
        compute_dtype="float32", batch_size=4, max_steps=steps, learning_rate=1e-3, scheduler="linear", warmup_ratio=0,
        save_steps=0,
    )  # fmt: skip
    arguments = make_sft_config(config, str(tmp_path / "studio"), steps)
    arguments.train_sampling_strategy = "sequential"
    base = LoadedBase(tiny_llama(attention=attention.PACKED), tokenizer)
    base.model.requires_grad_(False)
    studio = StudioTrainer(config, base, rows, args=arguments)
    blocks, _ = fuse_blocks(studio.model.get_base_model())
    assert len(blocks) == 2
    plain = SFTConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=4, max_steps=steps, learning_rate=1e-3,
        bf16=False, use_cpu=True, logging_steps=1, report_to="none", save_strategy="no", disable_tqdm=True,
        optim="adamw_torch_fused", train_sampling_strategy="sequential",
    )  # fmt: skip
    data = Dataset.from_list([{"input_ids": row["input_ids"], "labels": row["labels"]} for row in rows])
    trl = SFTTrainer(
        model=tiny_llama(),
        args=plain,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=lora_config(config, "all-linear"),
    )
    begun = dict(studio.model.named_parameters())
    for name, parameter in trl.model.named_parameters():
        if parameter.requires_grad:
            parameter.data = begun[name].detach().clone()
    losses = []
    for trainer in (studio, trl):
        trainer.train()
        losses.append([float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry])
    assert len(losses[0]) == steps
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
