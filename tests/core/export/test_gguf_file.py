"""GGUF files against transformers' reader of GGUF, for each family and type, and what is refused."""

import gguf
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from core.errors import StudioError
from core.export.base_weights import WeightFiles
from core.export.config import GGUF_TYPES
from core.export.gguf_families import find_family
from core.export.gguf_file import read_weights, write_gguf
from core.export.merge import MergedModel
from core.models import catalogue
from core.models.loading import Precision
from tests.helpers.exports import write_tiny_run
from tests.helpers.tiny_model import tiny_llama

SHAPE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LLAMA_3 = {
    "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}  # fmt: skip
MODELS = {
    "llama, tied": lambda size: tiny_llama(vocab_size=size, intermediate_size=96),
    "llama, untied": lambda size: tiny_llama(vocab_size=size, tie_word_embeddings=False),
    "llama 3": lambda size: tiny_llama(vocab_size=size, rope_parameters=LLAMA_3),
    "mistral": lambda size: MistralForCausalLM(MistralConfig(**SHAPE, vocab_size=size, sliding_window=128)),
    "qwen2": lambda size: Qwen2ForCausalLM(Qwen2Config(**SHAPE, vocab_size=size)),
    "qwen3": lambda size: Qwen3ForCausalLM(Qwen3Config(**SHAPE, vocab_size=size, head_dim=128)),
}
# Largest relative error of a tensor's values.
TOLERANCE = {"F16": 1e-3, "BF16": 4e-3, "Q8_0": 1e-2, "Q5_1": 5e-2, "Q5_0": 0.1, "Q4_0": 0.2}


def write(settings, tokenizer, path, kind="F16", model="llama, tied"):
    run = write_tiny_run(settings, tokenizer, MODELS[model](len(tokenizer)))
    source = WeightFiles(catalogue.find(settings, "tiny"), Precision("none", compute_dtype="float32"), "original")
    merged = MergedModel(source, run.adapter)
    write_gguf(merged, kind, path, "tiny", lambda share, stage: None)
    return merged


@pytest.mark.parametrize("model", MODELS)
def test_transformers_reads_the_file_as_the_merged_model(settings, small_tokenizer, tmp_path, model):
    merged = write(settings, small_tokenizer, tmp_path / "model.gguf", "F16", model)
    found = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    theirs = found.state_dict()
    for name in merged.names:
        torch.testing.assert_close(theirs[name], merged.read(name).float(), rtol=2e-3, atol=1e-4)
    expected = AutoModelForCausalLM.from_pretrained(settings.models_dir / "tiny").config
    for field in ("num_attention_heads", "num_key_value_heads", "rms_norm_eps", "max_position_embeddings"):
        assert getattr(found.config, field) == pytest.approx(getattr(expected, field))


@pytest.mark.parametrize("kind", GGUF_TYPES)
def test_weights_read_back_are_those_of_the_type(settings, small_tokenizer, tmp_path, kind):
    merged = write(settings, small_tokenizer, tmp_path / "model.gguf", kind)
    back = dict(read_weights(tmp_path / "model.gguf", merged, kind))
    assert list(back) == merged.names
    for name, values in back.items():
        expected = merged.read(name).float()
        assert (values - expected).abs().max() <= TOLERANCE[kind] * expected.abs().max()
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert kinds["blk.0.attn_q.weight"] == kind
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert kinds["token_embd.weight"] == ("Q8_0" if kind.startswith(("Q4", "Q5")) else kind)


def test_row_that_blocks_do_not_divide_stays_in_16_bits(settings, small_tokenizer, tmp_path):
    run = write_tiny_run(settings, small_tokenizer, tiny_llama(vocab_size=len(small_tokenizer), intermediate_size=80))
    source = WeightFiles(catalogue.find(settings, "tiny"), Precision("none"), "original")
    write_gguf(MergedModel(source, run.adapter), "Q4_0", tmp_path / "model.gguf", "tiny", lambda share, stage: None)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.0.ffn_up.weight"] == "Q4_0"


def test_scaling_of_llama_3_is_a_tensor_of_factors(settings, small_tokenizer, tmp_path):
    write(settings, small_tokenizer, tmp_path / "model.gguf", "F16", "llama 3")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    factors = torch.tensor(tensors["rope_freqs.weight"].data)
    config = LlamaForCausalLM.from_pretrained(settings.models_dir / "tiny").config
    assert factors.shape == (config.head_dim // 2,)
    # The highest frequencies stay, the lowest are divided by the whole factor.
    assert factors[0] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(8.0)


def test_family_or_positions_without_a_writer_are_refused():
    with pytest.raises(StudioError, match=r"'gpt2' cannot be written as GGUF here. Expected one of: Llama"):
        find_family(GPT2Config())
    yarn = tiny_llama(rope_parameters={"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}).config
    with pytest.raises(StudioError, match="type 'yarn'"):
        find_family(yarn)
