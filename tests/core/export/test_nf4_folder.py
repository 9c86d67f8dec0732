"""Merged models in 4 bits against transformers' own save_pretrained, and as transformers loads them."""

import json

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from safetensors import safe_open
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from core.errors import StudioError
from core.export import nf4_folder
from core.export.base_weights import WeightFiles
from core.export.merge import MergedModel
from core.export.rope_fields import legacy_rope_fields
from core.export.safetensors_folder import write_model_files, write_weights
from core.models import catalogue
from core.models.loading import Precision
from tests.helpers.exports import write_tiny_run
from tests.helpers.gguf_models import build
from tests.helpers.tiny_model import tiny_llama


def open_merged(settings, run, double=True):
    precision = Precision("nf4", double, "float32")
    return MergedModel(WeightFiles(catalogue.find(settings, "tiny"), precision, "as trained"), run.adapter)


def ignore(share, stage): ...


def tensors_of(folder):
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            assert file.metadata() == {"format": "pt"}
    return found


def save_by_transformers(merged, dtype, double, folder):
    """Write the merged model in a data type, load it in 4 bits and save that, all by transformers."""
    (plain := folder / "plain").mkdir()
    write_model_files(merged, dtype, plain)
    write_weights(merged, dtype, plain, ignore)
    options = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(plain, dtype=getattr(torch, dtype), quantization_config=options)
    model.save_pretrained(folder / "saved")
    return folder / "saved"


@pytest.mark.parametrize(
    ("family", "dtype", "double"), [("tied", "bfloat16", True), ("untied", "float32", False), ("gpt2", "float32", True)]
)
def test_files_equal_those_of_transformers_bit_for_bit(settings, small_tokenizer, tmp_path, family, dtype, double):
    size = len(small_tokenizer)
    tied = family == "tied"
    model = (
        build("gpt2", size)
        if family == "gpt2"
        else tiny_llama(vocab_size=size, intermediate_size=96, tie_word_embeddings=tied)
    )
    merged = open_merged(settings, write_tiny_run(settings, small_tokenizer, model), double)
    (folder := tmp_path / "written").mkdir()
    # Several shards.
    nf4_folder.write_folder(merged, dtype, folder, ignore, shard_bytes=60_000)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    expected = save_by_transformers(merged, dtype, double, tmp_path)
    written, saved = tensors_of(folder), tensors_of(expected)
    assert set(written) == set(saved)
    for name, tensor in saved.items():
        assert written[name].dtype == tensor.dtype
        assert torch.equal(written[name], tensor), name
    assert any(name.endswith(".nested_absmax") for name in written) == double
    own, theirs = (json.loads((path / "config.json").read_text()) for path in (folder, expected))
    assert own["quantization_config"] == theirs["quantization_config"]
    assert own == theirs | legacy_rope_fields(merged.source.config)
    assert sum(tensor.nbytes for tensor in written.values()) <= nf4_folder.size_of(merged, dtype)


def test_values_are_those_that_transformers_computes_with(settings, small_tokenizer, tmp_path):
    merged = open_merged(settings, write_tiny_run(settings, small_tokenizer))
    nf4_folder.write_folder(merged, "float32", tmp_path, ignore)
    found = {name: tensor.cpu() for name, tensor in nf4_folder.read_weights(tmp_path, merged)}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert list(found) == merged.names
    name = "model.layers.1.mlp.down_proj.weight"
    stored = loaded.get_parameter(name)
    assert torch.equal(found[name], dequantize_4bit(stored.data, stored.quant_state).cpu())
    # It was rounded once more: near the merged weight, and not equal to it.
    assert 0 < (found[name] - merged.read(name)).abs().max() < 0.2 * merged.read(name).abs().max()
    assert torch.equal(found["model.norm.weight"], merged.read("model.norm.weight"))
    plain = tiny_llama(vocab_size=merged.source.config.vocab_size, intermediate_size=96).eval()
    plain.load_state_dict(found, strict=False)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids.to(loaded.device)).logits.cpu(), plain(ids).logits, atol=1e-4, rtol=1e-4)


def test_value_beyond_float16_is_refused(settings, small_tokenizer, tmp_path):
    model = tiny_llama(vocab_size=len(small_tokenizer), intermediate_size=96)
    model.model.layers[0].mlp.down_proj.weight.data[0, 0] = 1e6
    merged = open_merged(settings, write_tiny_run(settings, small_tokenizer, model))
    with pytest.raises(StudioError, match=r"down_proj.*Choose bfloat16"):
        nf4_folder.write_folder(merged, "float16", tmp_path, ignore)
