"""Merged weights against PEFT's own merge, against the weights of a loaded run, and the adapters that are refused."""

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from core.errors import StudioError
from core.export.base_weights import WeightFiles
from core.export.merge import MergedModel
from core.export.safetensors_folder import write_weights
from core.models import catalogue
from core.models.loading import Precision, device
from tests.helpers.exports import write_tiny_run
from tests.helpers.gguf_models import build
from tests.helpers.tiny_model import make_adapter, pack_in_nf4, tiny_llama

NOT_QUANTIZED = Precision("none", compute_dtype="float32")
NF4 = Precision("nf4", compute_dtype="float32")


def save_model(settings, shard_size="1GB", **over):
    model = tiny_llama(**over)
    model.save_pretrained(settings.models_dir / "tiny", max_shard_size=shard_size)
    return model


def open_merged(settings, folder, precision=NOT_QUANTIZED, base="original", strength=1.0):
    return MergedModel(WeightFiles(catalogue.find(settings, "tiny"), precision, base), folder, strength)


def peft_merge(settings, folder):
    model = AutoModelForCausalLM.from_pretrained(settings.models_dir / "tiny", dtype=torch.float32)
    return PeftModel.from_pretrained(model, folder).merge_and_unload().state_dict()


@pytest.mark.parametrize("shard_size", ["1GB", "100KB"])
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"]])
def test_merge_equals_pefts_own(settings, tmp_path, targets, shard_size):
    folder = make_adapter(save_model(settings, shard_size), tmp_path / "adapter", 4, 1, targets, rslora=True)
    merged, expected = open_merged(settings, folder), peft_merge(settings, folder)
    assert "lm_head.weight" not in merged.names
    for name in merged.names:
        torch.testing.assert_close(merged.read(name), expected[name], rtol=0, atol=1e-6)
        assert merged.shape(name) == list(expected[name].shape)


def test_files_of_gpt2_without_its_first_part_and_with_masks_are_read(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer, build("gpt2", len(small_tokenizer)))
    path = settings.models_dir / "tiny" / "model.safetensors"
    usual = {name: open_merged(settings, run.adapter).read(name) for name in open_merged(settings, run.adapter).names}
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
    # As in the files of the Hub, which were written by earlier versions.
    save_file(tensors | {"h.0.attn.bias": torch.ones(1, 1, 8, 8)}, path, metadata={"format": "pt"})
    merged = open_merged(settings, run.adapter)
    assert set(merged.names) == set(usual)
    assert all(torch.equal(merged.read(name), usual[name]) for name in usual)
    assert merged.shape("transformer.wte.weight") == [len(small_tokenizer), 64]
    save_file(tensors | {"h.0.other": torch.ones(1)}, path, metadata={"format": "pt"})
    with pytest.raises(StudioError, match=r"name the tensor h\.0\.other, which transformers reads under another name"):
        _ = open_merged(settings, run.adapter).names


@pytest.mark.parametrize("options", [{"use_dora": True}, {"modules_to_save": ["input_layernorm"]}, {"bias": "all"}])
def test_merge_of_other_variants_equals_pefts_own(settings, small_tokenizer, tmp_path, options):
    model = save_model(settings, attention_bias=True)
    # PEFT merges a model that is loaded as for a run, with its tokenizer.
    small_tokenizer.save_pretrained(settings.models_dir / "tiny")
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, **options)
    tuned = get_peft_model(model, config)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    tuned.save_pretrained(tmp_path / "adapter")
    merged, expected = open_merged(settings, tmp_path / "adapter"), peft_merge(settings, tmp_path / "adapter")
    for name in merged.names:
        torch.testing.assert_close(merged.read(name), expected[name], rtol=0, atol=1e-5)
    with pytest.raises(StudioError, match="Set the strength to 1"):
        _ = open_merged(settings, tmp_path / "adapter", strength=0.5).adapter


def test_base_as_trained_has_the_weights_of_a_quantized_model(settings):
    # A CPU and a GPU round a value that lies midway between two codes to different ones.
    model = pack_in_nf4(save_model(settings), device=device())
    source = WeightFiles(catalogue.find(settings, "tiny"), NF4, "as trained")
    for name in source.quantized:
        packed = model.get_parameter(name)
        assert torch.equal(source.read(name).cpu(), dequantize_4bit(packed.data, packed.quant_state).cpu())
    others = set(source.files) - source.quantized
    assert "model.embed_tokens.weight" in others
    original = WeightFiles(source.model, NF4, "original")
    assert all(torch.equal(source.read(name), original.read(name)) for name in others)
    assert not any(torch.equal(source.read(name).cpu(), original.read(name)) for name in source.quantized)


def test_strength_scales_the_change(settings, tmp_path):
    folder = make_adapter(save_model(settings), tmp_path / "adapter", 4, 1)
    whole, half = open_merged(settings, folder), open_merged(settings, folder, strength=0.5)
    name = "model.layers.0.self_attn.q_proj.weight"
    base = whole.source.read(name)
    torch.testing.assert_close(half.read(name) - base, 0.5 * (whole.read(name) - base))


@pytest.mark.parametrize("options", [{"target_modules": ["q_proj", "lm_head"]}, {"modules_to_save": ["embed_tokens"]}])
def test_change_of_tied_embeddings_is_refused(settings, tmp_path, options):
    config = LoraConfig(r=4, init_lora_weights=False, **({"target_modules": ["q_proj"]} | options))
    get_peft_model(save_model(settings), config).save_pretrained(tmp_path / "adapter")
    with pytest.raises(StudioError, match="share one tensor"):
        _ = open_merged(settings, tmp_path / "adapter").adapter


def test_base_of_an_int8_run_as_trained_is_refused(settings):
    save_model(settings)
    source = WeightFiles(catalogue.find(settings, "tiny"), Precision("int8"), "as trained")
    with pytest.raises(StudioError, match="original weights"):
        source.read("model.layers.0.self_attn.q_proj.weight")


def test_shards_hold_every_tensor_once_and_load_in_transformers(settings, small_tokenizer, tmp_path):
    run = write_tiny_run(settings, small_tokenizer)
    merged = open_merged(settings, run.adapter, NF4, "as trained")
    write_weights(merged, "float32", tmp_path, lambda share, stage: None, shard_bytes=100_000)
    merged.source.config.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    assert all(torch.equal(loaded[name], merged.read(name).float()) for name in merged.names)


def test_value_beyond_float16_is_refused(settings, tmp_path):
    model = tiny_llama()
    model.model.layers[0].mlp.down_proj.weight.data[0, 0] = 1e6
    model.save_pretrained(settings.models_dir / "tiny")
    folder = make_adapter(model, tmp_path / "adapter", 4, 1)
    with pytest.raises(StudioError, match=r"down_proj.*Choose bfloat16"):
        write_weights(open_merged(settings, folder), "float16", tmp_path, lambda share, stage: None)
