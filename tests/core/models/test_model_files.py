"""Models whose files name code, weights or adapters from elsewhere, or are damaged, are refused with a sentence."""

import json
import shutil
import struct

import pytest
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig

from core.errors import StudioError
from core.models.catalogue import Model
from core.models.loading import Precision, load_base, load_tokenizer
from core.models.model_files import check_attention, check_files
from tests.helpers.tiny_model import tiny_llama

INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"


def named(path) -> Model:
    return Model("mine", "mine", str(path), local=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory, small_tokenizer):
    folder = tmp_path_factory.mktemp("model") / "mine"
    tiny_llama(vocab_size=len(small_tokenizer)).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "mine")


@pytest.mark.parametrize("name", ["evil/kernel", "paged|evil/kernel", {"": "evil/kernel"}, "evil/kernel@main:f"])
def test_check_attention_refuses_code_of_a_repository(name):
    with pytest.raises(StudioError, match="No foreign code is run"):
        check_attention(named("mine"), LlamaConfig(attn_implementation=name))


@pytest.mark.parametrize("name", [None, "eager", "sdpa", "flex_attention", "flash_attention_2"])
def test_check_attention_accepts_what_transformers_has(name):
    check_attention(named("mine"), LlamaConfig(attn_implementation=name))


def change_config(folder, **fields) -> None:
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(found | fields))


def test_load_base_asks_for_no_attention_of_a_repository(folder):
    change_config(folder, attn_implementation="evil/kernel")
    with pytest.raises(StudioError, match="No foreign code is run"):
        load_base(named(folder), Precision("none"))


@pytest.mark.parametrize("name", ["../x.safetensors", "/x/y.safetensors", "a/b.safetensors", "weights.bin"])
def test_check_files_refuses_weights_elsewhere_or_of_another_kind(tmp_path, name):
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": name}}))
    with pytest.raises(StudioError, match="in its own folder"):
        check_files(named(tmp_path), LlamaConfig())


def test_check_files_refuses_an_adapter_beside_the_model(folder):
    check_files(named(folder), LlamaConfig())
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    with pytest.raises(StudioError, match="has an adapter among its files"):
        check_files(named(folder), LlamaConfig())


@pytest.mark.parametrize("name", ["more.safetensors", "x.safetensors.index.json", "adapter_model.bin", "../x", "/x", 5])
def test_load_base_whose_config_names_other_weights_is_refused_before_any_is_read(folder, name):
    """One names weights outside, one is a pickle, and with one no bytes bear out the sizes of the config."""
    change_config(folder, transformers_weights=name)
    elsewhere = {key: str(folder / WEIGHTS) for key in load_file(folder / WEIGHTS)}
    (folder / "x.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": elsewhere}))
    for other in ("adapter_model.bin", "more.safetensors"):
        shutil.copy(folder / WEIGHTS, folder / other)
    with pytest.raises(StudioError, match=r"names '.+' for its weights \(transformers_weights\)"):
        load_base(named(folder), Precision("none"))


@pytest.mark.parametrize("name", [None, WEIGHTS])
def test_load_base_whose_config_names_its_own_weights_is_loaded(folder, name):
    change_config(folder, transformers_weights=name)
    assert load_base(named(folder), Precision("none")).model is not None


def test_load_base_without_some_weights_is_refused(folder):
    tensors = load_file(folder / WEIGHTS)
    del tensors["model.norm.weight"]
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(StudioError, match=r"lack weights, such as model\.norm\.weight \(1 in all\)"):
        load_base(named(folder), Precision("none"))


def header(size: int, text: bytes) -> bytes:
    return struct.pack("<Q", size) + text


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (WEIGHTS, b""), (WEIGHTS, header(2**63, b"{}")), (WEIGHTS, header(100, b"{}")),
        (WEIGHTS, header(50_000, b"[" * 50_000)), (INDEX, b"[]"), ("config.json", b"["), ("config.json", b"[1]"),
        ("config.json", b"[" * 100_000), ("config.json", b'{"model_type": "llama", "num_attention_heads": 0}'),
        ("config.json", b'{"model_type": "llama", "hidden_size": "x"}'),
        ("tokenizer.json", b"{"), ("tokenizer.json", b'{"version": "1.0"}'),
        ("tokenizer_config.json", b'{"tokenizer_class": 5}'), ("tokenizer_config.json", b'{"eos_token": {"a": 1}}'),
    ],
)  # fmt: skip
def test_load_base_of_damaged_files_is_refused(folder, file, content):
    (folder / file).write_bytes(content)
    with pytest.raises(StudioError, match="'mine' could not be loaded"):
        load_base(named(folder), Precision("none"))


# A normalizer and a pre-tokenizer on which the tokenizers library panics, and an invalid pattern.
@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False}},
    ],
    ids=["normalizer", "pattern"],
)
def test_load_tokenizer_that_panics_is_refused(folder, change):
    found = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(found | change))
    with pytest.raises(StudioError, match="'mine' could not be loaded"):
        load_tokenizer(named(folder))
