"""GGUF files against transformers' reader of GGUF, for each family and type, and what is refused."""

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, Gemma2Config, Gemma3TextConfig, GPT2Config, LlamaForCausalLM

from core.errors import StudioError
from core.export.base_weights import WeightFiles
from core.export.config import GGUF_TYPES
from core.export.gguf_file import OutOfRangeError, read_weights, size_of, write_gguf
from core.export.merge import MergedModel
from core.models import catalogue
from core.models.gguf_families import find_family, notes
from core.models.loading import Precision
from tests.helpers.exports import write_tiny_run
from tests.helpers.gguf_models import GEMMA, MODELS, build, write_model
from tests.helpers.tiny_model import tiny_llama

# Largest relative error of a tensor's values.
TOLERANCE = {"F16": 1e-3, "BF16": 4e-3, "Q8_0": 1e-2, "Q5_1": 5e-2, "Q5_0": 0.1, "Q4_0": 0.2}
# transformers' reader knows no rotary factors of Phi-3.
READ_BY_TRANSFORMERS = [name for name in MODELS if "longrope" not in name]


@pytest.mark.parametrize("model", READ_BY_TRANSFORMERS)
def test_transformers_reads_the_file_as_the_merged_model(settings, small_tokenizer, tmp_path, model):
    merged = write_model(settings, small_tokenizer, tmp_path / "model.gguf", "F16", model)
    found = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    theirs = found.state_dict()
    for name in merged.names:
        torch.testing.assert_close(theirs[name], merged.read(name).float(), rtol=2e-3, atol=1e-4)
    expected = AutoModelForCausalLM.from_pretrained(settings.models_dir / "tiny").config
    fields = ("num_attention_heads", "num_key_value_heads", "rms_norm_eps", "max_position_embeddings")
    for field in fields:
        if getattr(expected, field, None) is not None:
            assert getattr(found.config, field) == pytest.approx(getattr(expected, field))


@pytest.mark.parametrize("model", MODELS)
def test_weights_of_each_family_are_read_back(settings, small_tokenizer, tmp_path, model):
    merged = write_model(settings, small_tokenizer, tmp_path / "model.gguf", "F32", model)
    back = dict(read_weights(tmp_path / "model.gguf", merged))
    assert list(back) == merged.names
    for name, values in back.items():
        torch.testing.assert_close(values, merged.read(name).float(), rtol=0, atol=1e-6)
    # A lane of the chat reads all parameters of the model from the file.
    assert {name for name, _ in build(model, len(small_tokenizer)).named_parameters()} <= set(back)


@pytest.mark.parametrize("kind", GGUF_TYPES)
def test_weights_read_back_are_those_of_the_type(settings, small_tokenizer, tmp_path, kind):
    merged = write_model(settings, small_tokenizer, tmp_path / "model.gguf", kind)
    back = dict(read_weights(tmp_path / "model.gguf", merged))
    assert list(back) == merged.names
    for name, values in back.items():
        expected = merged.read(name).float()
        assert (values - expected).abs().max() <= TOLERANCE[kind] * expected.abs().max()
    tensors = gguf.GGUFReader(tmp_path / "model.gguf").tensors
    assert size_of(merged, kind) == sum(int(tensor.n_bytes) for tensor in tensors)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in tensors}
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
    write_model(settings, small_tokenizer, tmp_path / "model.gguf", "F16", "llama 3")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    factors = torch.tensor(tensors["rope_freqs.weight"].data)
    config = LlamaForCausalLM.from_pretrained(settings.models_dir / "tiny").config
    assert factors.shape == (config.head_dim // 2,)
    # The highest frequencies stay, the lowest are divided by the whole factor.
    assert factors[0] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(8.0)


def test_value_beyond_f16_is_refused(settings, tmp_path, small_tokenizer):
    model = tiny_llama(vocab_size=len(small_tokenizer))
    model.model.layers[0].mlp.down_proj.weight.data[0, 0] = 1e6
    run = write_tiny_run(settings, small_tokenizer, model)
    source = WeightFiles(catalogue.find(settings, "tiny"), Precision("none"), "original")
    with pytest.raises(OutOfRangeError, match=r"down_proj.*Choose BF16"):
        write_gguf(MergedModel(source, run.adapter), "F16", tmp_path / "model.gguf", "tiny", lambda share, stage: None)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (BloomConfig(), r"'bloom' cannot be written as GGUF here. Expected one of: Llama"),
        (tiny_llama(rope_parameters={"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}).config, "type 'yarn'"),
        (tiny_llama(hidden_act="gelu").config, "hidden_act is 'gelu'"),
        (Gemma2Config(**GEMMA | {"query_pre_attn_scalar": 24}), "query_pre_attn_scalar is 24"),
        (Gemma2Config(**GEMMA, attn_logit_softcapping=None), "always caps them"),
        (Gemma2Config(**GEMMA, tie_word_embeddings=False), "reads no other for Gemma 2"),
        (Gemma3TextConfig(**GEMMA, attn_logit_softcapping=50.0), "attn_logit_softcapping is 50"),
        (GPT2Config(activation_function="relu"), "activation_function is 'relu'"),
        (GPT2Config(scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx is True"),
    ],
)  # fmt: skip
def test_model_that_llama_cpp_computes_otherwise_is_refused(config, reason):
    with pytest.raises(StudioError, match=reason):
        find_family(config)


def test_largest_gemma_models_have_a_scale_of_their_own():
    size = {"hidden_size": 128, "num_attention_heads": 4, "head_dim": 16}
    for model, layers in ((Gemma2Config, 46), (Gemma3TextConfig, 62)):
        assert find_family(model(**size, num_hidden_layers=layers, query_pre_attn_scalar=32))
        with pytest.raises(StudioError, match="query_pre_attn_scalar is 16"):
            find_family(model(**size, num_hidden_layers=layers, query_pre_attn_scalar=16))


def test_what_llama_cpp_leaves_out_of_phi_is_noted():
    config = MODELS["phi3, longrope"](64).config
    assert notes(config) == [
        "llama.cpp chooses the rotary factors by the size of its context and not by the text: for texts of up to 256 "
        "tokens start it with -c 256."
    ]
    config.sliding_window = 2047
    assert "more than 2,047 tokens" in notes(config)[0]


def test_layers_with_a_window_are_listed_if_they_are_not_the_usual_ones(settings, small_tokenizer, tmp_path):
    write_model(settings, small_tokenizer, tmp_path / "usual.gguf", model="gemma3")
    assert "gemma3.attention.sliding_window_pattern" not in gguf.GGUFReader(tmp_path / "usual.gguf").fields
    folder = settings.models_dir / "tiny"
    config = AutoModelForCausalLM.from_pretrained(folder).config
    config.layer_types = ["full_attention", *["sliding_attention"] * 5]
    config.save_pretrained(folder)
    write_model(settings, small_tokenizer, tmp_path / "other.gguf", model="gemma3")
    fields = gguf.GGUFReader(tmp_path / "other.gguf").fields
    assert fields["gemma3.attention.sliding_window_pattern"].contents() == [False, *[True] * 5]
