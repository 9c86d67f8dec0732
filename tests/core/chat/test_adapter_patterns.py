"""Adapters that were made by hand to harm are refused within seconds, and patterns match what PEFT matches."""

import json
import re
import shutil
import time

import pytest
import torch
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file, save_file

from core.chat import adapter_patterns
from core.chat.adapter_patterns import Patterns
from core.chat.adapters import RowAdapters, read_adapter
from core.errors import StudioError
from tests.helpers.tiny_model import make_adapter, tiny_llama

CPU = torch.device("cpu")
WEIGHTS = "adapter_model.safetensors"
# Both take years on the name of a module.
SLOW = r"((\w|\w\w|\.)+)+(?<=7)"
STEPS = r"(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)\1\2\3\4(?<=7)"


@pytest.fixture(scope="module")
def base():
    return tiny_llama().eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return make_adapter(tiny_llama(), tmp_path_factory.mktemp("adapter") / "mine", 4, 0, ["q_proj", "v_proj"])


def changed(saved, folder, **settings):
    copied = shutil.copytree(saved, folder)
    path = copied / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return copied


def load(base, folder) -> RowAdapters:
    rows = RowAdapters(base)
    rows.add("mine", read_adapter(folder, torch.float32, CPU))
    return rows


HOSTILE = {
    "slow targets": ({"target_modules": SLOW}, "takes more than"),
    "many steps": ({"target_modules": STEPS}, "takes more than"),
    "slow exceptions": ({"exclude_modules": SLOW}, "takes more than"),
    "slow ranks": ({"rank_pattern": {SLOW: 4}}, "takes more than"),
    "slow alphas": ({"alpha_pattern": {SLOW: 4}}, "takes more than"),
    "no pattern": ({"target_modules": "(("}, "an invalid pattern"),
    "long pattern": ({"target_modules": "a" * 10_000}, "a pattern of 10,000 characters"),
    "nothing": ({"target_modules": "nothing"}, "no module here has a name"),
    "rank": ({"r": 10**9}, "the rank 1000000000 in its settings, and its tensors have at most"),
    "no rank": ({"r": 0}, "the rank 0|PEFT refuses"), "minus": ({"r": -4}, "the rank -4|PEFT refuses"),
    "text": ({"r": "4"}, "the rank 4|PEFT refuses"),
    "rank of one": ({"rank_pattern": {"q_proj": 10**9}}, "the rank 1000000000"),
    "rank of text": ({"rank_pattern": {"q_proj": "4"}}, "Expected numbers by patterns"),
    "list": ({"rank_pattern": ["q_proj"]}, "Expected numbers by patterns"),
    "alphas": ({"alpha_pattern": {"q_proj": None}}, "Expected numbers by patterns"),
    "saved": ({"modules_to_save": ["(a+)+"]}, "in modules_to_save. Expected names"),
    "layers": ({"layers_pattern": "(a+)+", "layers_to_transform": [0]}, "in layers_pattern. Expected names"),
    "repeated": ({"layer_replication": [[0, 2]] * 10_000}, "repeats more than 1,000 layers"),
    "repeated once": ({"layer_replication": [[0, 10**12]]}, "repeats more than 1,000 layers"),
    "import": ({"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "No foreign code is run"),
    "other rank": ({"r": 8}, "belongs to another model, or cannot be applied"),
    "other modules": ({"target_modules": ["q_proj"]}, "has no module here"),
    "more modules": ({"target_modules": ["q_proj", "v_proj", "k_proj"]}, "is incomplete"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_adapter_made_to_harm_is_refused_in_time(base, saved, tmp_path, monkeypatch, name):
    monkeypatch.setattr(adapter_patterns, "_SECONDS", 0.1)
    change, expected = HOSTILE[name]
    before = time.thread_time()
    with pytest.raises(StudioError, match=expected):
        load(base, changed(saved, tmp_path / "mine", **change))
    assert time.thread_time() - before < 3


def shapes(tensors):
    return {key: tensor.T.contiguous() for key, tensor in tensors.items()}


def more(tensors):
    return tensors | {"base_model.model.elsewhere.lora_A.weight": torch.zeros(4, 64)}


def scalars(tensors):
    return {key: torch.tensor(1.0) for key in tensors}


def nothing(tensors):
    return {}


@pytest.mark.parametrize("change", [shapes, more, scalars, nothing])
def test_adapter_with_other_tensors_is_refused(base, saved, tmp_path, change):
    folder = changed(saved, tmp_path / "mine")
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)
    with pytest.raises(StudioError, match="'mine'"):
        load(base, folder)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, (2**63).to_bytes(8, "little") + b"{}"])
def test_adapter_with_a_damaged_file_is_refused(saved, tmp_path, content):
    folder = changed(saved, tmp_path / "mine")
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(StudioError, match="is damaged"):
        read_adapter(folder, torch.float32, CPU)


def test_adapter_with_patterns_is_applied_as_with_names(base, saved, tmp_path):
    patterns = changed(
        saved, tmp_path / "mine", target_modules=r".*\.(q|v)_proj", alpha_pattern={r"layers\.\d+\..*": 8}
    )
    read = load(base, patterns).get("mine")
    assert read.lora.keys() == load(base, saved).get("mine").lora.keys()


NAMES = ["model.layers.0.self_attn.q_proj", "model.layers.11.mlp.up_proj", "q_proj", "lm_head", "my_q_proj"]


@pytest.mark.parametrize(
    "pattern", ["q_proj", "self_attn.q_proj", "layers", r"layers\.\d+\..*", ".*", "^lm_head", "x|q_proj"]
)
def test_find_matches_what_peft_matches(pattern):
    for name in NAMES:
        expected = get_pattern_key([pattern], name)
        found = Patterns("mine").find([pattern], name)
        assert (found or name) == expected
        assert (Patterns("mine").select(pattern, [name]) == [name]) is bool(re.fullmatch(pattern, name))
