"""Adapters for mlx-lm: the names, shapes and values that its loader expects, which is repeated here in PyTorch."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from core.errors import StudioError
from core.export import hub_readme
from core.export.base_weights import WeightFiles
from core.export.merge import MergedModel
from core.export.mlx_adapter import write_folder
from core.models import catalogue
from core.models.loading import Precision
from tests.helpers.gguf_models import build
from tests.helpers.tiny_model import tiny_llama


def write_adapter(settings, folder, model=None, **options):
    """Write a random adapter of a tiny model, and return the model with it."""
    model = model or tiny_llama(tie_word_embeddings=False)
    model.save_pretrained(settings.models_dir / "tiny")
    torch.manual_seed(0)
    config = LoraConfig(
        init_lora_weights=False, **({"r": 4, "lora_alpha": 8, "target_modules": "all-linear"} | options)
    )
    get_peft_model(model, config).save_pretrained(folder, save_embedding_layers=False)
    source = WeightFiles(catalogue.find(settings, "tiny"), Precision("none", compute_dtype="float32"), "original")
    return MergedModel(source, folder)


def apply_as_mlx_does(model, folder):
    """Add adapters to a model by the rules of mlx-lm: of its last layers, the modules that are named in `keys`."""
    config, tensors = (
        json.loads((folder / "adapter_config.json").read_text()),
        load_file(folder / "adapters.safetensors"),
    )
    assert config["fine_tune_type"] == "lora"
    about, allowed = config["lora_parameters"], {}
    for number, layer in enumerate(model.model.layers):
        assert number >= len(model.model.layers) - config["num_layers"]
        for key, module in layer.named_modules():
            if key in about["keys"]:
                name, (outputs, inputs) = f"model.layers.{number}.{key}", module.weight.shape
                allowed[f"{name}.lora_a"], allowed[f"{name}.lora_b"] = (inputs, about["rank"]), (about["rank"], outputs)
    # mlx-lm refuses another name or shape.
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()}.items() <= allowed.items()
    for name in {name.rpartition(".")[0] for name in tensors}:
        change = about["scale"] * (tensors[f"{name}.lora_a"] @ tensors[f"{name}.lora_b"]).T
        model.get_submodule(name).weight.data += change
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target_modules": ["q_proj", "down_proj"], "use_rslora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 9}},
        {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    ],
)
def test_adapter_gives_mlx_lm_the_same_model(settings, tmp_path, options):
    merged = write_adapter(settings, tmp_path, **options)
    (folder := tmp_path / "mlx").mkdir()
    write_folder(merged, folder)
    with safe_open(folder / "adapters.safetensors", "pt") as file:
        assert file.metadata() == {"format": "mlx"}
    ids = torch.arange(3, 15)[None]

    def load():
        return AutoModelForCausalLM.from_pretrained(settings.models_dir / "tiny", dtype=torch.float32)

    with torch.no_grad():
        expected = PeftModel.from_pretrained(load(), tmp_path)(ids).logits
        found = apply_as_mlx_does(load(), folder)(ids).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_strength_is_the_scale(settings, tmp_path):
    merged = write_adapter(settings, tmp_path)
    write_folder(MergedModel(merged.source, tmp_path, 0.5), tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["lora_parameters"]["scale"] == 0.5


def test_readme_on_the_hub_says_how_mlx_lm_loads_it(settings, tmp_path):
    write_folder(write_adapter(settings, tmp_path / "adapter"), tmp_path)
    hub_readme.complete(tmp_path, "tuned", "me/tuned")
    assert "mlx_lm.generate --model BASE --adapter-path adapter" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("family", "options", "reason"),
    [
        ("llama", {"use_dora": True, "target_modules": ["q_proj"]}, "Only plain LoRA is converted"),
        ("llama", {"target_modules": ["q_proj", "lm_head"]}, "lm_head, which is outside of the layers"),
        ("gpt2", {"target_modules": ["c_attn"]}, "other names for the modules of gpt2"),
    ],
)
def test_adapter_that_mlx_lm_cannot_apply_is_refused(settings, tmp_path, family, options, reason):
    model = build("gpt2", 512) if family == "gpt2" else None
    merged = write_adapter(settings, tmp_path, model, **options)
    with pytest.raises(StudioError, match=reason):
        write_folder(merged, tmp_path)
