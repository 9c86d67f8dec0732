"""Every LoRA variant of PEFT, in one batch with the base, gives the logits of PeftModel or is rejected by name."""

import copy
import json

import pytest
import torch
from peft import PeftModel
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MixtralConfig,
    MixtralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from core.chat.adapters import RowAdapters, read_adapter
from core.chat.decoder import Decoder, TokenSequence
from core.chat.plain import PlainDecoder
from core.chat.routing import RoutedDecoder
from core.errors import StudioError
from tests.helpers.peft_adapters import save_adapter
from tests.helpers.tiny_model import tiny_llama

CPU = torch.device("cpu")
SHAPE = {
    "vocab_size": 128, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0,
}  # fmt: skip
PROMPTS = [[5, 9, 44, 101, 7], [7, 30], [99, 3, 4, 5, 6, 7, 8, 9], [11]]
NEW = 5

MODELS = {
    "llama": lambda: tiny_llama(vocab_size=128, tie_word_embeddings=False),
    "tied": lambda: tiny_llama(vocab_size=128),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=128, n_embd=32, n_layer=2, n_head=4, n_positions=128)),
    "opt": lambda: OPTForCausalLM(OPTConfig(vocab_size=128, hidden_size=32, word_embed_proj_dim=32, ffn_dim=48,
                                            num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=128)),
    "gemma": lambda: Gemma2ForCausalLM._from_config(
        Gemma2Config(**SHAPE, head_dim=8, query_pre_attn_scalar=8), attn_implementation="eager"),
    "mixtral": lambda: MixtralForCausalLM(MixtralConfig(**SHAPE, num_local_experts=4)),
    "qwen_moe": lambda: Qwen2MoeForCausalLM(Qwen2MoeConfig(**SHAPE, num_experts=4, moe_intermediate_size=24,
                                                           shared_expert_intermediate_size=24)),
}  # fmt: skip
QV = ["q_proj", "v_proj"]
# Name: model, what PEFT is given, whether its rows decode apart from the base's.
VARIANTS = {
    "plain": ("llama", {"target_modules": QV}, False),
    "all-linear": ("llama", {"target_modules": "all-linear"}, False),
    "rslora": ("llama", {"target_modules": QV, "use_rslora": True}, False),
    "target regex": ("llama", {"target_modules": r".*layers\.1\.(self_attn|mlp)\.(q|down)_proj"}, False),
    "nested suffix": ("llama", {"target_modules": ["self_attn.q_proj", "mlp.up_proj"]}, False),
    "rank pattern": ("llama", {"target_modules": QV, "rank_pattern": {"q_proj": 2}}, False),
    "rank pattern regex": ("llama", {"target_modules": QV, "rank_pattern": {r"layers\.1\..*": 2}}, False),
    "rank pattern anchored": (
        "llama",
        {"target_modules": QV, "rank_pattern": {r"^model\.layers\.0\.self_attn\.q_proj": 8}},
        False,
    ),
    "alpha pattern regex": (
        "llama",
        {"target_modules": QV, "alpha_pattern": {r".*\.0\.self_attn\.[qv]_proj": 1}},
        False,
    ),
    "both patterns, rslora": (
        "llama",
        {
            "target_modules": QV,
            "rank_pattern": {r"layers\.\d+\.self_attn\.v_proj": 6},
            "alpha_pattern": {"q_proj": 3},
            "use_rslora": True,
        },
        False,
    ),
    "exclude modules": ("llama", {"target_modules": "all-linear", "exclude_modules": ["down_proj"]}, False),
    "layers to transform": (
        "llama",
        {"target_modules": QV, "layers_to_transform": [1], "layers_pattern": "layers"},
        False,
    ),
    "lm_head": ("llama", {"target_modules": ["q_proj", "lm_head"]}, False),
    "orthogonal": ("llama", {"target_modules": QV, "init_lora_weights": "orthogonal"}, False),
    "gaussian": ("llama", {"target_modules": QV, "init_lora_weights": "gaussian"}, False),
    "dora": ("llama", {"target_modules": QV, "use_dora": True}, False),
    "dora rslora": ("llama", {"target_modules": "all-linear", "use_dora": True, "use_rslora": True}, False),
    "lora_bias": ("llama", {"target_modules": QV, "lora_bias": True}, False),
    "modules to save": ("llama", {"target_modules": QV, "modules_to_save": ["lm_head", "embed_tokens"]}, False),
    "norm to save": ("llama", {"target_modules": QV, "modules_to_save": ["norm"]}, False),
    "embedding": ("llama", {"target_modules": ["embed_tokens", "q_proj"]}, False),
    "tied embedding": ("tied", {"target_modules": ["embed_tokens", "q_proj"]}, False),
    "trainable tokens": ("llama", {"target_modules": QV, "trainable_token_indices": [5, 9]}, False),
    "tied trainable tokens": (
        "tied",
        {"target_modules": QV, "trainable_token_indices": {"embed_tokens": [5, 9]}},
        False,
    ),
    "target parameters": ("mixtral", {"target_modules": [], "target_parameters": ["experts.gate_up_proj"]}, True),
    "layer replication": ("llama", {"target_modules": QV, "layer_replication": [[0, 2], [1, 2]]}, True),
    "alora": ("llama", {"target_modules": QV, "alora_invocation_tokens": [5, 9]}, True),
    "conv1d": ("gpt2", {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}, False),
    "conv1d dora": ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "use_dora": True}, False),
    "bias all": ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "bias": "all"}, False),
    "bias lora_only": ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "bias": "lora_only"}, False),
    "flattened mlp": ("opt", {"target_modules": ["fc1", "fc2", "q_proj"]}, False),
    "flattened dora": ("opt", {"target_modules": ["fc1", "fc2"], "use_dora": True}, False),
    "opt bias all": ("opt", {"target_modules": ["fc1"], "bias": "all"}, False),
    "scaled embedding": ("gemma", {"target_modules": ["embed_tokens", "q_proj"]}, False),
    "mixtral all-linear": ("mixtral", {"target_modules": "all-linear"}, None),
    "shared experts": ("qwen_moe", {"target_modules": ["shared_expert.up_proj", "shared_expert.down_proj"]}, False),
}


def make_model(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval().requires_grad_(False)
    for parameter in model.parameters():
        # Large weights make the greedy tokens of an untrained model differ more.
        parameter.data *= 3
    return model


def generate_ids(model, prompt):
    ids = torch.tensor([prompt])
    with torch.no_grad():
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False,
            eos_token_id=None, output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    return torch.cat(out.logits)


def decode_lanes(model, adapters, names):
    """Return the logits of each prompt in each lane, decoded together as one batch."""
    found = {(name, at): [] for at in range(len(PROMPTS)) for name in names}

    def row(name, at):
        def take(logits):
            found[name, at].append(logits.clone())
            return int(logits.argmax()) if len(found[name, at]) < NEW else None

        return TokenSequence(PROMPTS[at], name, take)

    decoder = RoutedDecoder(
        Decoder(model, adapters), PlainDecoder(model, adapters),
        lambda row: row.adapter is not None and bool(adapters.unbatched_reason(row.adapter)),
    )  # fmt: skip
    decoder.join([row(name, at) for name, at in found])
    while decoder.step():
        pass
    return {key: torch.stack(logits) for key, logits in found.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_adapter_variant_tuned_rows_equal_peft_and_base_rows_are_unchanged(variant, tmp_path):
    kind, options, apart = VARIANTS[variant]
    model = make_model(kind)
    folder = save_adapter(model, tmp_path, options)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    alone = [generate_ids(model, prompt) for prompt in PROMPTS]
    tuned = PeftModel.from_pretrained(copy.deepcopy(model), folder).eval()
    expected = [generate_ids(tuned, prompt) for prompt in PROMPTS]
    adapters = RowAdapters(model)
    adapters.add("tuned", read_adapter(folder, torch.float32, CPU))
    assert apart is None or bool(adapters.unbatched_reason("tuned")) == apart, adapters.unbatched_reason("tuned")
    found = decode_lanes(model, adapters, [None, "tuned"])
    for at in range(len(PROMPTS)):
        torch.testing.assert_close(found[None, at], alone[at], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found["tuned", at], expected[at], rtol=1e-3, atol=1e-3)
    assert any(not torch.allclose(one, other, atol=1e-2) for one, other in zip(expected, alone, strict=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga"])
def test_read_adapter_with_rewritten_base_weights_is_refused_by_name(init, tmp_path):
    folder = save_adapter(make_model("llama"), tmp_path, {"target_modules": QV})
    change_config(folder, init_lora_weights=init)
    with pytest.raises(StudioError, match=f"base weights that {init} changed"):
        read_adapter(folder, torch.float32, CPU)


def test_read_adapter_eva_initialization_is_accepted(tmp_path):
    folder = save_adapter(make_model("llama"), tmp_path, {"target_modules": QV})
    change_config(folder, init_lora_weights="eva", eva_config={"rho": 2.0})
    assert read_adapter(folder, torch.float32, CPU).lora


def change_config(folder, **values):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_read_adapter_unknown_setting_is_refused_by_name(tmp_path):
    folder = save_adapter(make_model("llama"), tmp_path, {"target_modules": QV})
    change_config(folder, use_tomorrow=True)
    with pytest.raises(StudioError, match="use_tomorrow"):
        read_adapter(folder, torch.float32, CPU)


@pytest.mark.parametrize(("edit", "words"), [
    (lambda tensors: tensors | {"base_model.model.model.layers.0.self_attn.x_proj.lora_A.weight": torch.zeros(4, 64)},
     "another model"),
    (lambda tensors: dict(list(tensors.items())[1:]), "incomplete|another model"),
    (lambda tensors: {key: tensor[..., :3].contiguous() for key, tensor in tensors.items()}, "another model"),
], ids=["a tensor too many", "a tensor missing", "other shapes"])  # fmt: skip
def test_adapter_with_unused_or_missing_tensor_is_refused(edit, words, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_adapter(make_model("llama"), tmp_path, {"target_modules": QV})
    path = folder / "adapter_model.safetensors"
    save_file(edit(load_file(path)), path)
    model = make_model("llama")
    adapters = RowAdapters(model)
    with pytest.raises(StudioError, match=words):
        adapters.add("tuned", read_adapter(folder, torch.float32, CPU))
    assert not list(adapters)
