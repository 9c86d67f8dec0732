"""Which engine serves an adapter: the command lines, and a sentence for each adapter that one cannot serve."""

import dataclasses
import json

import pytest
from peft import LoraConfig, get_peft_model

from core.errors import StudioError
from core.export.engines import AdapterFacts, plan_serving, read_facts
from tests.helpers.tiny_model import make_adapter, tiny_llama

PLAIN = AdapterFacts(16, {"q_proj": 2, "down_proj": 2}, {"r": 16, "bias": "none", "rank_pattern": {}}, ())
ALL = ["vLLM", "SGLang", "TGI"]


def problems(facts):
    return {one.engine: one.problem for one in plan_serving(facts, "me/base", "tuned") if one.problem}


def test_plain_lora_is_served_by_all_with_one_command():
    assert {one.engine: one.command for one in plan_serving(PLAIN, "me/base", "tuned")} == {
        "vLLM": "vllm serve me/base --enable-lora --max-lora-rank 16 --lora-modules tuned=./tuned",
        "SGLang": "python -m sglang.launch_server --model-path me/base --enable-lora --lora-paths tuned=./tuned",
        "TGI": "LORA_ADAPTERS=tuned=./tuned text-generation-launcher --model-id me/base",
    }
    assert problems(PLAIN) == {}


@pytest.mark.parametrize(("rank", "flag"), [(1, 8), (8, 8), (9, 16), (257, 320), (512, 512)])
def test_rank_of_vllm_is_the_next_that_it_knows(rank, flag):
    (vllm, *_) = plan_serving(dataclasses.replace(PLAIN, rank=rank), "me/base", "tuned")
    assert f"--max-lora-rank {flag} " in vllm.command


@pytest.mark.parametrize(
    ("change", "engines", "reason"),
    [
        ({"rank": 600}, ["vLLM"], "the rank is 600, and the largest is 512"),
        ({"settings": {"use_dora": True}}, ALL, "it is a DoRA (use_dora); export the merged model"),
        ({"settings": {"modules_to_save": ["norm"]}}, ALL, "whole modules that were trained (modules_to_save)"),
        ({"settings": {"bias": "all"}}, ALL, "biases"),
        ({"settings": {"use_rslora": True}}, ["SGLang"], "that of rsLoRA"),
        ({"settings": {"rank_pattern": {"q_proj": 4}}}, ALL, "ranks of their own"),
        ({"settings": {"alpha_pattern": {"q_proj": 4}}}, ALL, "scales of their own"),
        ({"settings": {"layers_to_transform": [0]}}, ["TGI"], "some layers are unchanged"),
        ({"targets": {"q_proj": 2, "v_proj": 1}}, ["TGI"], "changes v_proj in some layers only"),
        ({"targets": {"c_attn": 2}}, ALL, "the adapter changes c_attn, for which no LoRA is documented"),
        ({"targets": {"qkv_proj": 2}}, ["TGI"], "the adapter changes qkv_proj"),
        ({"others": ("model.norm.weight",)}, ALL, "such as model.norm.weight"),
    ],
)
def test_adapter_that_an_engine_cannot_serve_is_refused_with_the_reason(change, engines, reason):
    found = problems(dataclasses.replace(PLAIN, **change))
    assert list(found) == engines
    for engine, sentence in found.items():
        assert sentence.startswith(f"{engine} cannot serve this adapter as it is: ")
        assert reason in sentence


def test_base_whose_name_is_no_hub_id_has_no_command():
    assert all("'a folder', is no Hub id" in one.problem for one in plan_serving(PLAIN, "a folder", "tuned"))


def test_facts_are_read_from_what_peft_wrote(tmp_path):
    facts = read_facts(make_adapter(tiny_llama(), tmp_path / "plain", 4, 1, ["q_proj", "up_proj"]))
    assert (facts.rank, facts.targets, facts.others) == (4, {"q_proj": 2, "up_proj": 2}, ())
    assert problems(facts) == {}
    config = LoraConfig(r=4, target_modules=["q_proj"], use_dora=True, init_lora_weights=False)
    get_peft_model(tiny_llama(), config).save_pretrained(tmp_path / "dora")
    facts = read_facts(tmp_path / "dora")
    assert facts.others[0].endswith("lora_magnitude_vector")
    assert list(problems(facts)) == ALL


@pytest.mark.parametrize("content", [b"", b"\x10\x00\x00\x00\x00\x00\x00\x00{", None])
def test_damaged_adapter_is_reported(tmp_path, content):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4}))
    if content is not None:
        (tmp_path / "adapter_model.safetensors").write_bytes(content)
    with pytest.raises(StudioError, match="is damaged or incomplete"):
        read_facts(tmp_path)
