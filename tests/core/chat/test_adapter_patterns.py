"""Adapters that were made by hand to harm are refused within seconds, and patterns match what PEFT matches."""

import json
import re
import shutil
import time

import psutil
import pytest
import torch
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file, save_file

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


# Within two seconds the first two would make a process of 4 GiB with another library than `re`.
GROWING, RECURSIVE = "a{4294967294}", "(?R)"
BIG, MANY = 10**12, [f"m{i}" for i in range(10**5)]
HOSTILE = {
    "slow targets": ({"target_modules": SLOW}, "takes more than"),
    "many steps": ({"target_modules": STEPS}, "takes more than"),
    "slow exceptions": ({"exclude_modules": SLOW}, "takes more than"),
    "slow ranks": ({"rank_pattern": {SLOW: 4}}, "takes more than"),
    "slow alphas": ({"alpha_pattern": {SLOW: 4}}, "takes more than"),
    "slow after others": ({"rank_pattern": {"a+": 4, "b+": 4, SLOW: 4}}, "takes more than .* memory: .*7.*Name its"),
    "growing": ({"target_modules": f"(?:{GROWING}){{4294967294}}"}, "no module here|an invalid pattern"),
    "too many steps": ({"target_modules": f"a{{{BIG}}}"}, "an invalid pattern"),
    "recursive": ({"target_modules": RECURSIVE}, "an invalid pattern"),
    "called group": ({"rank_pattern": {"(?P<x>(?&x)|a)": 4}}, "an invalid pattern"),
    "deep": ({"alpha_pattern": {"(" * 900 + "a" + ")" * 900: 4}}, "an invalid pattern"),
    "no pattern": ({"target_modules": "(("}, "an invalid pattern"),
    "long pattern": ({"target_modules": "a+" * 5_000}, "a pattern of 10,000 characters"),
    "many patterns": ({"rank_pattern": {f"a+{i}": 4 for i in range(2_000)}}, "2,000 patterns"),
    "nothing": ({"target_modules": "nothing"}, "no module here has a name"),
    "rank": ({"r": 10**9}, "the rank 1000000000 in its settings, and its tensors have at most"),
    "no rank": ({"r": 0}, "the rank 0|PEFT refuses"), "minus": ({"r": -4}, "the rank -4|PEFT refuses"),
    "text": ({"r": "4"}, "has r of a kind.*whole number"),
    "rank of one": ({"rank_pattern": {"q_proj": 10**9}}, "the rank 1000000000"),
    "rank of text": ({"rank_pattern": {"q_proj": "4"}}, "has rank_pattern of a kind.*whole number"),
    "list": ({"rank_pattern": ["q_proj"]}, "has rank_pattern of a kind"),
    "alphas": ({"alpha_pattern": {"q_proj": None}}, "has alpha_pattern of a kind"),
    "alpha of NaN": ({"alpha_pattern": {"q_proj": float("nan")}}, "has alpha_pattern of a kind"),
    "alpha": ({"lora_alpha": 1e308}, "has lora_alpha of a kind.*at most 1e\\+06"),
    "alpha of text": ({"lora_alpha": "8"}, "has lora_alpha of a kind.*number"),
    "infinite alpha": ({"lora_alpha": float("inf")}, "has lora_alpha of a kind"),
    "no flag": ({"use_rslora": "no"}, "has use_rslora of a kind.*true or false"),
    "many targets": ({"target_modules": MANY}, "has target_modules of a kind"),
    "targets of numbers": ({"target_modules": [1]}, "has target_modules of a kind.*text"),
    "many exceptions": ({"exclude_modules": MANY}, "has exclude_modules of a kind"),
    "many ranks": ({"rank_pattern": dict.fromkeys(MANY, 4)}, "has rank_pattern of a kind"),
    "many wrong ranks": ({"rank_pattern": dict.fromkeys(map(str, range(10**5)), "x")}, "has rank_pattern of a kind"),
    "many wrong ranges": ({"layer_replication": [[0]] * 7 * 10**5}, "has layer_replication of a kind"),
    "many layers": ({"layers_to_transform": list(range(10**5))}, "has layers_to_transform of a kind"),
    "layer": ({"layers_to_transform": BIG}, "has layers_to_transform of a kind"),
    "many tokens": ({"trainable_token_indices": list(range(2 * 10**5))}, "has trainable_token_indices of a kind"),
    "token": ({"trainable_token_indices": [2**30]}, "belongs to another model|cannot be applied"),
    "no group": ({"use_qalora": True, "qalora_group_size": 0}, "has qalora_group_size of a kind"),
    "size of a variant": ({"monteclora_config": {"monteclora_n": BIG}}, "has monteclora_config of a kind"),
    "saved": ({"modules_to_save": ["(a+)+"]}, "has modules_to_save of a kind"),
    "saved number": ({"modules_to_save": 5}, "has modules_to_save of a kind"),
    "layers": ({"layers_pattern": "(a+)+", "layers_to_transform": [0]}, "has layers_pattern of a kind"),
    "repeated": ({"layer_replication": [[0, 2]] * 900}, "repeats more than 1,000 layers"),
    "repeated once": ({"layer_replication": [[0, BIG]]}, "has layer_replication of a kind"),
    "import": ({"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "No foreign code is run"),
    "other method": ({"peft_type": "x" * 10**5}, "is xxx.*Chat answers with LoRA"),
    "unknown": ({"y" * 10**5: 1}, "has the setting 'yyy.*PEFT does not"),
    "nested": ({"auto_mapping": json.loads("[" * 400 + "]" * 400)}, "is nested deeply"),
    "large": ({"revision": "x" * 5 * 10**6}, "bytes of settings"),
    "other rank": ({"r": 8}, "belongs to another model, or cannot be applied"),
    "other modules": ({"target_modules": ["q_proj"]}, "has no module here"),
    "more modules": ({"target_modules": ["q_proj", "v_proj", "k_proj"]}, "is incomplete"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_adapter_made_to_harm_is_refused_in_time(base, saved, tmp_path, name):
    change, expected = HOSTILE[name]
    before = time.thread_time()
    with pytest.raises(StudioError, match=expected) as refused:
        load(base, changed(saved, tmp_path / "mine", **change))
    assert time.thread_time() - before < 3
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("content", ["", "[]", "{", "5", "\xff", "[" * 10**5], ids=range(6))
def test_adapter_whose_settings_are_no_object_is_refused(saved, tmp_path, content):
    folder = changed(saved, tmp_path / "mine")
    (folder / "adapter_config.json").write_text(content, encoding="latin-1")
    with pytest.raises(StudioError, match=r"cannot be read|Expected an object"):
        read_adapter(folder, torch.float32, CPU)


def test_pattern_without_end_leaves_no_process(base, saved, tmp_path):
    folder = changed(saved, tmp_path / "mine", target_modules=SLOW)
    with pytest.raises(StudioError, match="takes more than"):
        load(base, folder)
    assert not [each for each in psutil.Process().children() if "core.chat.pattern_worker" in each.cmdline()]


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


def test_pattern_that_would_grow_in_another_library_matches_nothing(base, saved, tmp_path):
    nested = "(?:" * 150 + "a" + "){1000}" * 150
    folder = changed(saved, tmp_path / "mine", alpha_pattern={nested: 8, GROWING: 8})
    lora, plain = load(base, folder).get("mine").lora, load(base, saved).get("mine").lora
    assert all(torch.equal(lora[name].b, plain[name].b) for name in plain)


NAMES = ["model.layers.0.self_attn.q_proj", "model.layers.11.mlp.up_proj", "q_proj", "lm_head", "my_q_proj"]


@pytest.mark.parametrize(
    "pattern", ["q_proj", "self_attn.q_proj", "layers", r"layers\.\d+\..*", ".*", "^lm_head", "x|q_proj"]
)
def test_find_matches_what_peft_matches(pattern):
    for name in NAMES:
        expected = get_pattern_key([pattern], name)
        patterns = Patterns("mine", [name], [pattern], [pattern])
        assert patterns.find([pattern]).get(name, name) == expected
        assert (patterns.select(pattern) == {name}) is bool(re.fullmatch(pattern, name))


def test_first_of_several_patterns_counts():
    given = ["nothing", ".*_proj", "q_proj", "self_attn.q_proj"]
    found = Patterns("mine", NAMES, given).find(given)
    assert found == {name: ".*_proj" for name in NAMES if name.endswith("_proj")}
    assert Patterns("mine", NAMES).find(given[2:])["q_proj"] == "q_proj"
