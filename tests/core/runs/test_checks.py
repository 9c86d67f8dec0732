"""Preflight checks of a run: problems and warnings about rows, model, GPUs and disk."""

import json

import pytest
from transformers import BloomConfig, LlamaConfig, MptConfig

from core.data import subset
from core.data.recipe import Recipe
from core.hardware import gpu
from core.models import embedded
from core.runs import checks
from core.runs.checks import check, length_problem
from core.runs.config import QLoRAConfig
from core.settings import Hardware
from tests.helpers.datasets import copy_bundled, dialog, open_dialogs
from tests.helpers.template_families import FAMILIES


@pytest.fixture
def home(settings, embedded_model, small_tokenizer):
    """A home with the bundled subset, and the embedded model without weights and with a smaller tokenizer."""
    copy_bundled(settings)
    folder = embedded.folder(settings)
    small_tokenizer.save_pretrained(folder)
    config = json.loads((embedded_model / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": len(small_tokenizer)}))
    return settings


def texts(found, level):
    return [finding.text for finding in found if finding.level == level]


def test_check_of_startable_run_finds_no_problem(home):
    found = check(home, QLoRAConfig())
    assert texts(found, "problem") == []
    assert any("306 rows to train on, 34 held out" in text for text in texts(found, "fine"))


def test_check_reports_all_problems_at_once_problems_first(home):
    found = check(home, QLoRAConfig(model="nope", subset="nowhere", report_to="wandb"))
    problems = texts(found, "problem")
    assert len(problems) == 3
    for words in ("no model 'nope'", "no subset 'nowhere'", "pip install wandb"):
        assert any(words in text for text in problems)
    assert [finding.level for finding in found] == sorted(
        (finding.level for finding in found), key=["problem", "warning", "fine"].index
    )


@pytest.mark.parametrize(
    ("over", "level", "words"),
    [
        ({"max_length": 100_000}, "problem", "more than the context of smollm2-135m-instruct (8,192 tokens)"),
        ({"max_length": 16}, "problem", "have no tokens with loss within 16 tokens"),
        ({"max_length": 120}, "warning", "of 306 rows are longer than 120 tokens and will be truncated"),
        ({"batch_size": 512}, "warning", "306 rows are fewer than one update needs (512)"),
        ({"revision": "abc"}, "problem", "has no revision 'abc'"),
    ],
)
def test_check_reports_findings_on_rows_and_model(home, over, level, words):
    assert any(words in text for text in texts(check(home, QLoRAConfig(**over)), level))


def test_length_problem_reads_the_field_of_each_family():
    config = QLoRAConfig(max_length=301)
    assert "more than the context of" in length_problem(config, MptConfig(max_seq_len=300))
    assert length_problem(config, MptConfig(max_seq_len=301)) is None
    assert length_problem(config, BloomConfig()) is None


def test_check_counts_rows_that_the_template_refuses(home, tmp_path):
    reported = [dialog("a", "b"), dialog("a <|im_end|>", "b"), dialog("c", "d")]
    data = open_dialogs(home, tmp_path, reported)
    subset.create(home, "marks", Recipe(dataset=data.id, held_out_share=0))
    found = check(home, QLoRAConfig(subset="marks", held_out_share=0))
    assert any("1 of 3 rows cannot be trained on: a turn holds" in text for text in texts(found, "warning"))
    assert any("No rows are held out" in text for text in texts(found, "warning"))


def tiny_model(home, family, **over):
    """A folder with a tokenizer and a config, which is enough for preflight."""
    folder = home.models_dir / "tiny"
    tokenizer = family.tokenizer()
    if mark := over.pop("added", None):
        tokenizer.add_tokens([mark])
    tokenizer.save_pretrained(folder)
    LlamaConfig(vocab_size=len(family.tokenizer()), num_hidden_layers=1, **over).save_pretrained(folder)


def test_check_warns_of_what_the_template_leaves_out_and_of_a_missing_end(home, tmp_path):
    thought = dialog("a", "<think>\nHm.\n</think>\n\nyes") + dialog("b", "no")
    data = open_dialogs(home, tmp_path, [thought, dialog("c", "d"), dialog("a", "x <new>")])
    subset.create(home, "thoughts", Recipe(dataset=data.id, held_out_share=0))
    families = {family.name: family for family in FAMILIES}
    tiny_model(home, families["qwen3"], added="<new>")
    found = check(home, QLoRAConfig(model="tiny", subset="thoughts"))
    warnings = texts(found, "warning")
    assert "In 1 of 3 rows, the chat template leaves out a part of an answer." in warnings
    assert any("cannot be trained on: the token '<new>' has the id" in text for text in warnings)
    assert "Answers end with <|im_end|>." in texts(found, "fine")
    found = check(home, QLoRAConfig(model="tiny", subset="thoughts", chat_template="llama2"))
    assert "Answers end with <|endoftext|>." in texts(found, "fine")
    tiny_model(home, families["vicuna"])
    found = check(home, QLoRAConfig(model="tiny", subset="thoughts", chat_template="chatml"))
    assert any("tokens of this tokenizer and not one" in text for text in texts(found, "warning"))


def test_check_names_the_templates_of_a_model_without_the_wanted_one(home):
    tiny_model(home, FAMILIES[0])
    found = check(home, QLoRAConfig(model="tiny", chat_template="tool_use"))
    assert any(
        "no chat template named 'tool_use'. Its templates are: default" in text for text in texts(found, "problem")
    )


def test_check_reports_gated_model_and_full_disk(home, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = check(home, QLoRAConfig(model="meta-llama/Llama-2-7b-hf"))
    assert any("meta-llama/Llama-2-7b-hf" in text for text in texts(found, "problem"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("D", (), {"free": 2**20})())
    assert any("1 GiB must stay free" in text for text in texts(check(home, QLoRAConfig()), "problem"))


@pytest.mark.parametrize(
    ("there", "gpus", "level", "words"),
    [(0, 2, "problem", "GPUs is 2, and this machine has no NVIDIA GPU. Set GPUs to 1."),
     (1, 2, "problem", "this machine has one GPU. Set GPUs to 1."),
     (2, 4, "problem", "GPUs is 4, and this machine has 2 GPUs. Set GPUs to 2."),
     (4, 4, "fine", "Each of 4 GPUs takes 2 of a batch's 8 rows, and holds the whole model.")],
)  # fmt: skip
def test_check_reports_missing_gpus(home, monkeypatch, there, gpus, level, words):
    monkeypatch.setattr(checks, "hardware", lambda: Hardware("cuda" if there else "cpu", "a machine"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(there))))
    assert any(words in text for text in texts(check(home, QLoRAConfig(gpus=gpus)), level))


@pytest.mark.parametrize(("device", "problems"), [("cpu", 1), ("cuda", 0)])
def test_check_reports_settings_this_machine_lacks(home, monkeypatch, device, problems):
    monkeypatch.setattr(checks, "hardware", lambda: Hardware(device, "a machine"))
    found = texts(check(home, QLoRAConfig(lora_init="loftq")), "problem")
    assert len(found) == problems
    assert all("LoftQ needs an NVIDIA GPU to unpack NF4 weights" in text for text in found)


@pytest.mark.parametrize(("total", "free", "warns"), [(1, 1, True), (24, 24, False), (24, 0, False)])
def test_check_warns_of_a_run_that_does_not_fit_even_alone(home, monkeypatch, total, free, warns):
    monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(free * 2**30, total * 2**30))
    config = QLoRAConfig(batch_size=64, kernels="off", gradient_checkpointing="off", max_length=256)
    found = [finding for finding in check(home, config) if "may run out of memory" in finding.text]
    assert [finding.fields[0] for finding in found] == ["batch_size"] * warns
