"""Adapter targets over the table of architectures, resolved without weights and applied by PEFT."""

import re

import pytest
import torch
from peft import get_peft_model

from core.errors import StudioError
from core.runs.adapter import lora_config
from core.runs.config import QLoRAConfig
from core.runs.targets import output_layer, require, resolve
from tests.helpers.answering_architectures import EXTRA, build

# Families whose shared experts PEFT leaves out, since it adapts the experts of the same names as parameters.
SHARED = {"deepseek_v3", "qwen3_next"}
# Families without a group's layers: state-space models have neither half, some mixtures hold experts as parameters.
WITHOUT = {
    "attention": {"mamba", "mamba2", "falcon_mamba"},
    "mlp": {"mamba", "mamba2", "falcon_mamba", "gpt_oss", "granitemoe", "mixtral", "olmoe", "qwen3_moe", "phimoe",
            "minimax"},
}  # fmt: skip


def on_meta(name: str):
    with torch.device("meta"):
        return build(name)


def config_for(targets: str, **over) -> QLoRAConfig:
    return QLoRAConfig(model="tiny", lora_targets=targets, lora_rank=2, **over)


@pytest.mark.parametrize("name", EXTRA)
def test_groups_resolve_to_modules_that_peft_adapts_or_to_a_sentence(name):
    for group in ("all-linear", "attention", "mlp"):
        model, config = on_meta(name), config_for(group)
        if name in WITHOUT.get(group, ()):
            with pytest.raises(StudioError, match=f"The target '{group}' matches no module of tiny. Expected .*all-"):
                require(model, config)
            continue
        found = require(model, config)
        assert output_layer(model) not in found.matched
        shape = lora_config(config, found.modules)
        shape.init_lora_weights = False
        adapted = get_peft_model(model, shape, low_cpu_mem_usage=True)
        left = set(found.matched).symmetric_difference(adapted.base_model.targeted_module_names)
        assert bool(left) == (name in SHARED and group != "attention")
        assert all(".mlp." in layer for layer in left)


@pytest.mark.parametrize(
    ("name", "targets", "leaves"),
    [
        ("llama", "attention", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("llama", "MLP", {"gate_proj", "up_proj", "down_proj"}),
        ("llama", "self_attn.q_proj", {"q_proj"}),
        ("llama", "model.layers.0.self_attn.q_proj, down_proj", {"q_proj", "down_proj"}),
        ("llama", "attention, embed_tokens", {"q_proj", "k_proj", "v_proj", "o_proj", "embed_tokens"}),
        ("gpt2", "attention", {"c_attn", "c_proj"}),
        ("gpt_neox", "attention", {"query_key_value", "dense"}),
        ("mpt", "attention", {"Wqkv", "out_proj"}),
        ("opt", "mlp", {"fc1", "fc2"}),
        ("recurrent_gemma", "attention", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("qwen2_moe", "mlp", {"gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_names_and_groups_match_modules(name, targets, leaves):
    found = require(on_meta(name), config_for(targets))
    assert {layer.rpartition(".")[2] for layer in found.matched} == leaves


@pytest.mark.parametrize(
    ("name", "targets", "whole", "words"),
    [
        ("llama", "q_prj", "", "The target 'q_prj' matches no module of tiny. Expected all-linear, attention, mlp, or "
         "module names: down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj."),
        ("llama", "_proj", "", "The target '_proj' matches no module"),
        ("llama", "lm_head", "", "'lm_head' is the output layer of tiny, whose adapter TRL cannot train"),
        ("gpt_neox", "lm_head, query_key_value", "", "'lm_head' is the output layer"),
        ("llama", "self_attn", "", "matches modules that LoRA cannot adapt (LlamaAttention)"),
        ("llama", "norm", "", "matches modules that LoRA cannot adapt (LlamaRMSNorm)"),
        ("mixtral", "experts.gate_up_proj", "", "'experts.gate_up_proj' is a parameter, not a module"),
        ("mamba", "out_proj", "", "PEFT cannot adapt 'out_proj' in a Mamba block of tiny. Expected all-linear, or"),
        ("llama", "q_proj", "embed_token", "The module to train whole 'embed_token' is not in tiny. Expected one"),
        ("llama", "q_proj", "lm_head, nrm", "'nrm' is not in tiny"),
        ("llama", "q_proj", "q_proj", "All that the target 'q_proj' matches is fully trained"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_trained_are_refused(name, targets, whole, words):
    with pytest.raises(StudioError, match=re.escape(words)) as raised:
        require(on_meta(name), config_for(targets, modules_to_save=whole))
    listed = str(raised.value).partition("module names: ")[2]
    assert "lm_head" not in listed


def test_all_linear_on_mamba_names_what_it_leaves_out():
    found = resolve(on_meta("mamba"), config_for("all-linear"))
    assert found.notes == ["all-linear leaves out out_proj of tiny: PEFT cannot adapt them in a Mamba block."]
    assert {name.rpartition(".")[2] for name in found.matched} == {"in_proj", "x_proj", "dt_proj"}


def test_whole_modules_are_those_that_peft_trains():
    model, config = on_meta("llama"), config_for("attention", modules_to_save="norm, lm_head")
    found = require(model, config)
    adapted = get_peft_model(model, lora_config(config, found.modules), low_cpu_mem_usage=True)
    trained = {key.partition(".modules_to_save.")[0] for key, weight in adapted.named_parameters()
               if weight.requires_grad and ".modules_to_save." in key}  # fmt: skip
    assert {f"base_model.model.{name}" for name in found.whole} == trained
