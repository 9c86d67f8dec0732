"""Adapters per row of a batch, compared with PEFT, and adapters that are rejected."""

import copy
import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

from core.chat.adapters import RowAdapters, read_adapter
from core.errors import StudioError
from tests.helpers.tiny_model import tiny_llama

IDS = torch.tensor([[5, 9, 44, 301], [7, 7, 30, 2], [100, 3, 4, 5]])
CPU = torch.device("cpu")


def save(folder, rank=4, seed=0, **config):
    torch.manual_seed(seed)
    options = {"r": rank, "lora_alpha": 3 * rank, "target_modules": "all-linear", "init_lora_weights": False} | config
    get_peft_model(tiny_llama(), LoraConfig(task_type="CAUSAL_LM", **options)).save_pretrained(folder)
    return folder


def logits(model, ids=IDS):
    with torch.no_grad():
        return model(ids).logits


def test_row_adapters_each_row_equals_peft(tmp_path):
    folders = {
        "small": save(tmp_path / "small", rank=2, seed=1),
        "large": save(tmp_path / "large", rank=16, seed=2, target_modules=["q_proj", "down_proj"], use_rslora=True),
    }
    model = tiny_llama().eval()
    bare = logits(model)
    rows = RowAdapters(model)
    for name, folder in folders.items():
        rows.add(name, read_adapter(folder, torch.float32, CPU))
    rows.set_rows(["large", None, "small"])
    mixed = logits(model)
    torch.testing.assert_close(mixed[1], bare[1], rtol=1e-5, atol=1e-6)
    for row, name in ((0, "large"), (2, "small")):
        expected = logits(PeftModel.from_pretrained(tiny_llama(), folders[name]).eval())[row]
        torch.testing.assert_close(mixed[row], expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(mixed[row], bare[row], atol=1e-3)


def test_row_adapters_scattered_rows_equal_peft_and_base_rows_are_bit_identical(tmp_path):
    model, ids = tiny_llama().eval(), torch.cat([IDS, IDS])
    rows = RowAdapters(model)
    for name in "ab":
        rows.add(name, read_adapter(save(tmp_path / name, seed=ord(name)), torch.float32, CPU))
    bare = logits(model, ids)
    rows.set_rows(["a", None, "b", "a", None, "b"])
    mixed = logits(model, ids)
    assert torch.equal(mixed[[1, 4]], bare[[1, 4]])
    for indices, name in (([0, 3], "a"), ([2, 5], "b")):
        tuned = PeftModel.from_pretrained(tiny_llama(), tmp_path / name).eval()
        torch.testing.assert_close(mixed[indices], logits(tuned, ids)[indices], rtol=1e-4, atol=1e-5)
    rows.set_rows([None, "a", "a", "a", None, None])
    together = logits(model, ids)
    assert torch.equal(together[[0, 4, 5]], bare[[0, 4, 5]])
    torch.testing.assert_close(together[3], mixed[3], rtol=1e-4, atol=1e-5)


def test_row_adapters_removed_adapters_leave_no_hooks(tmp_path):
    model = tiny_llama().eval()
    bare = logits(model)
    rows = RowAdapters(model)
    rows.add("a", read_adapter(save(tmp_path / "a"), torch.float32, CPU))
    rows.set_rows(["a", "a", "a"])
    assert not torch.equal(logits(model), bare)
    rows.keep_only(set())
    rows.set_rows([])
    assert torch.equal(logits(model), bare)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("options", [
    {"use_dora": True},
    {"use_dora": True, "target_modules": ["q_proj"], "use_rslora": True},
    {"modules_to_save": ["lm_head"]},
    {"modules_to_save": ["embed_tokens", "norm"]},
    {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.down_proj": 5}},
], ids=str)  # fmt: skip
def test_row_adapters_any_kind_of_lora_equals_peft(tmp_path, options):
    model_with_adapter = get_peft_model(
        tiny_llama(tie_word_embeddings=False),
        LoraConfig(**{"r": 4, "lora_alpha": 12, "target_modules": "all-linear", "init_lora_weights": False,
                      "task_type": "CAUSAL_LM"} | options),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in (p for p in model_with_adapter.parameters() if p.requires_grad):
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    model_with_adapter.save_pretrained(tmp_path)
    model = tiny_llama(tie_word_embeddings=False).eval()
    bare = logits(model)
    rows = RowAdapters(model)
    rows.add("a", read_adapter(tmp_path, torch.float32, CPU))
    rows.set_rows([None, "a", None])
    mixed = logits(model)
    expected = logits(PeftModel.from_pretrained(tiny_llama(tie_word_embeddings=False), tmp_path).eval())
    torch.testing.assert_close(mixed[1], expected[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(mixed[1], bare[1], atol=1e-3)
    torch.testing.assert_close(mixed[[0, 2]], bare[[0, 2]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_row_adapters_trained_biases_and_conv1d_equal_peft(tmp_path, bias):
    shape = GPT2Config(vocab_size=512, n_embd=64, n_layer=2, n_head=4, n_positions=128)
    torch.manual_seed(3)
    fresh = GPT2LMHeadModel(shape)
    model = copy.deepcopy(fresh).eval()
    options = {"r": 4, "target_modules": ["c_attn", "c_proj"], "init_lora_weights": False, "fan_in_fan_out": True}
    tuned = get_peft_model(copy.deepcopy(fresh), LoraConfig(task_type="CAUSAL_LM", bias=bias, **options))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if name.endswith("bias") and parameter.requires_grad:
                parameter += 0.1
    tuned.save_pretrained(tmp_path)
    bare = logits(model)
    rows = RowAdapters(model)
    rows.add("a", read_adapter(tmp_path, torch.float32, CPU))
    rows.set_rows(["a", None, "a"])
    mixed = logits(model)
    torch.testing.assert_close(mixed[[0, 2]], logits(tuned.eval())[[0, 2]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mixed[1], bare[1], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(mixed[0], bare[0], atol=1e-3)


@pytest.mark.parametrize(("change", "words"), [({"peft_type": "IA3"}, "is IA3")])
def test_read_adapter_of_another_method_is_refused_by_name(tmp_path, change, words):
    folder = save(tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(StudioError, match=words):
        read_adapter(folder, torch.float32, CPU)


def test_read_adapter_pickled_weights_are_refused(tmp_path):
    folder = save(tmp_path / "a")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(StudioError, match=r"adapter_model\.safetensors"):
        read_adapter(folder, torch.float32, CPU)


def test_row_adapters_adapter_of_another_model_is_refused(tmp_path):
    weights = read_adapter(save(tmp_path / "a"), torch.float32, CPU)
    with pytest.raises(StudioError, match="another model"):
        RowAdapters(tiny_llama(num_hidden_layers=1)).add("a", weights)
