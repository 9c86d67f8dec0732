"""Sizes in a foreign config.json are bounded before anything is built by them."""

import json
import shutil

import pytest
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from core.errors import StudioError
from core.models.catalogue import Model
from core.models.config_bounds import check_config, find_problem
from core.models.loading import Precision, load_base
from core.models.model_files import check_weights
from tests.helpers.tiny_model import tiny_llama

LLAMA = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 512}
# The changed fields, and the field that the reason names with its value.
HOSTILE = {
    "layers": ({"num_hidden_layers": 10**9}, "num_hidden_layers = 1000000000, expected a whole number from 1 to 1,000"),
    "no layers": ({"num_hidden_layers": 0}, "num_hidden_layers = 0"),
    "minus": ({"num_hidden_layers": -1}, "layers = -1"),
    "width": ({"hidden_size": 2**40}, "hidden_size = 1099511627776, expected a whole number from 1 to 1,048,576"),
    "text": ({"hidden_size": "x" * 99}, "hidden_size = 'xxxx"),
    "fraction": ({"hidden_size": 64.5}, "hidden_size = 64.5"),
    "list": ({"hidden_size": [64, [64]]}, "hidden_size = [64]"), "truth": ({"hidden_size": True}, "hidden_size = True"),
    "not a number": ({"hidden_size": float("nan")}, "hidden_size = nan"),
    "inf": ({"vocab_size": float("inf")}, "= inf"),
    "vocabulary": ({"vocab_size": 2**40}, "vocab_size = "),
    "heads": ({"num_attention_heads": 10**6}, "heads = 1000000"),
    "key heads": ({"num_key_value_heads": 10**6}, "num_key_value_heads"),
    "mlp": ({"intermediate_size": 10**12}, "inter"),
    "head width": ({"head_dim": 10**12}, "head_dim"), "context": ({"max_position_embeddings": 2**60}, "max_position"),
    "labels": ({"num_labels": 10**9}, "num_labels"), "experts": ({"num_local_experts": 10**9}, "num_local_experts"),
    "modules": ({"num_hidden_layers": 900, "num_experts": 900}, "900 layers of 900 experts"),
    "other family": ({"n_layer": 10**9}, "n_layer"), "encoder": ({"encoder_layers": 10**9}, "encoder_layers"),
    "part": ({"text_config": {"num_hidden_layers": 10**9}}, "text_config.num_hidden_layers"),
    "widths": ({"hidden_sizes": [1, 2**60]}, "hidden_sizes"), "unknown": ({"unheard_of": 10**30}, "unheard_of"),
    "many values": ({"values": [0] * 200_001}, "more than 200,000 values"),
}  # fmt: skip


def written(folder, config) -> Model:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return Model("mine", "mine", str(folder), local=True)


@pytest.mark.parametrize("name", HOSTILE)
def test_config_with_a_size_beyond_its_bound_is_refused(tmp_path, name):
    change, expected = HOSTILE[name]
    with pytest.raises(StudioError, match=r"'mine' could not be loaded: config\.json has ") as caught:
        check_config(written(tmp_path, LLAMA | change))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[", "no JSON"), ("[1]", "holds list"), ("[" * 100_000, "no JSON"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested"),
        (" " * (4 * 2**20) + "{}", "bytes"), ('{"a": ' + "9" * 5_000 + "}", "no JSON"),
    ],
    ids=["open", "list", "deep", "nested", "long", "digits"],
)  # fmt: skip
def test_config_that_is_no_object_is_refused(tmp_path, text, expected):
    with pytest.raises(StudioError, match=expected):
        check_config(written(tmp_path, text))


def test_model_without_a_config_is_not_checked_here(tmp_path):
    check_config(Model("mine", "mine", str(tmp_path), local=True))


@pytest.mark.parametrize(
    "family", ["llama", "mistral", "gemma2", "gemma3", "qwen2_moe", "qwen3", "phi3", "gpt2", "mixtral", "deepseek_v3",
               "gpt_oss", "llama4", "mamba", "bloom", "falcon", "t5", "nemotron_h", "olmo2"],
)  # fmt: skip
def test_default_config_of_a_family_is_within_its_bounds(tmp_path, family):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG_MAPPING[family]().to_dict(), default=str))
    assert find_problem(path) == ""


@pytest.fixture(scope="module")
def saved(tmp_path_factory, small_tokenizer):
    folder = tmp_path_factory.mktemp("model") / "mine"
    tiny_llama(vocab_size=len(small_tokenizer)).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    return folder


def test_weights_much_smaller_than_the_config_are_refused_before_they_are_filled_in(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    mine = written(folder, config | {"num_hidden_layers": 900, "hidden_size": 2**15, "intermediate_size": 2**17})
    with pytest.raises(StudioError, match=r"describes [0-9,]{13,} parameters, and the weights have [0-9,]+ bytes"):
        load_base(mine, Precision("none"))


def test_weights_that_the_config_describes_are_accepted(saved):
    model = tiny_llama()
    check_weights(Model("mine", "mine", str(saved), local=True), model.config, AutoModelForCausalLM)


def test_load_base_keeps_only_the_tokens_of_the_generation_config(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "mine")
    hostile = {"eos_token_id": [2, 3], "cache_implementation": "static", "guidance_scale": 7,
               "max_length": 10**12, "prompt_lookup_num_tokens": 10**6, "stop_strings": "a"}  # fmt: skip
    (folder / "generation_config.json").write_text(json.dumps(hostile))
    found = load_base(Model("mine", "mine", str(folder), local=True), Precision("none")).model.generation_config
    assert found.to_diff_dict().keys() - {"transformers_version"} == {"eos_token_id"}
    assert found.eos_token_id == [2, 3]
