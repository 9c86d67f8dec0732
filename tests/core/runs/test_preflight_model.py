"""Findings of the preflight checks on model folders that hold a config and nothing else."""

import json
import subprocess

import pytest
from transformers import AutoConfig, LlamaConfig

from core.errors import StudioError
from core.models import catalogue
from core.runs import preflight_model, process
from core.runs.config import QLoRAConfig
from core.settings import Hardware
from tests.helpers.answering_architectures import EXTRA, SMALL

CUSTOM = {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}}


def folder_of(settings, name: str):
    """Make a model folder without weights."""
    folder = settings.models_dir / "tiny"
    folder.mkdir()
    if name == "custom":
        (folder / "config.json").write_text(json.dumps(CUSTOM))
        return folder
    fields = vars(AutoConfig.for_model(name)) | {key: None for key in AutoConfig.for_model(name).attribute_map}
    small = {key: value for key, value in SMALL.items() if key in fields}
    AutoConfig.for_model(name, **(small | EXTRA.get(name, {}))).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def preflight_in_process():
    """Leave the examination as it is, in a process of its own, in the place of the fixture for all other tests."""


@pytest.fixture
def here(monkeypatch):
    """Examine in this process, which has torch: a process for each case would spend its time on imports."""

    def run(command, input, **options):
        report = preflight_model.build_report(json.loads(input))
        return subprocess.CompletedProcess(command, 0, json.dumps(report), "")

    monkeypatch.setattr(preflight_model.subprocess, "run", run)
    monkeypatch.setattr(preflight_model, "hardware", lambda: Hardware("cpu", "a machine"))


CASES = [
    ("llama", {"compute_dtype": "float16"}, "problem", "float16 cannot be trained on a CPU. Set Compute dtype to auto"),
    ("llama", {"lora_init": "orthogonal", "lora_rank": 7}, "problem", "and Rank is 7. Set it to 6 or 8"),
    ("llama", {"lora_init": "pissa", "quantization": "none", "lora_rank": 33}, "problem",
     "Rank 33 is above the smaller side of model.layers.0.self_attn.k_proj (16), and pissa has no more"),
    ("llama", {"lora_init": "loftq", "lora_rank": 17}, "problem", "Rank 17 is above the smaller side of"),
    ("llama", {"lora_init": "pissa", "quantization": "none", "lora_rank": 16}, "fine", "14 modules get an adapter"),
    ("llama", {"lora_targets": "lm_head"}, "problem", "'lm_head' is the output layer of tiny"),
    ("llama", {"lora_targets": "q_prj"}, "problem", "'q_prj' matches no module of tiny. Expected all-linear"),
    ("llama", {"modules_to_save": "embed_token"}, "problem", "'embed_token' is not in tiny. Expected one or more of:"),
    ("llama", {"modules_to_save": "up_proj"}, "problem", "up_proj is quantized to nf4 and cannot be fully trained"),
    ("llama", {"modules_to_save": "lm_head"}, "fine", "14 modules get an adapter; 1 is fully trained"),
    ("mamba", {}, "warning", "all-linear leaves out out_proj of tiny: PEFT cannot adapt them in a Mamba block."),
    ("mamba", {"lora_targets": "attention"}, "problem", "The target 'attention' matches no module of tiny."),
    ("gemma2", {"attention": "sdpa"}, "problem", "caps its attention scores, which Attention sdpa leaves out"),
    ("gemma2", {}, "fine", "14 modules get an adapter"),
    ("mixtral", {"lora_targets": "experts.gate_up_proj"}, "problem", "is a parameter, not a module"),
    ("mixtral", {}, "warning", "PEFT adapts experts and routers as parameters, not as modules: experts.down_proj"),
    ("mixtral", {"lora_dropout": 0.1}, "problem", "work with lora_dropout != 0). Change Target modules, Dropout"),
    ("mixtral", {"lora_dora": True}, "problem", "does not work with use_dora=True). Change Target modules"),
    ("qwen3_next", {"lora_targets": "mlp"}, "warning", "PEFT gives no adapter to shared_expert.down_proj"),
    ("t5", {}, "warning", "Chat and Evaluate will not answer with tiny: t5 is an encoder-decoder model."),
    ("t5", {}, "problem", "transformers cannot build tiny from its config.json ("),
    ("custom", {}, "problem", "tiny needs Python code of its own, which the studio never runs."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "over", "level", "words"), CASES)
def test_findings_of_config_without_weights_name_its_problems(studio, here, name, over, level, words):
    folder_of(studio, name)
    config = QLoRAConfig(**{"model": "tiny", "lora_rank": 2} | over)
    found = preflight_model.findings(catalogue.find(studio, "tiny"), config)
    assert any(words in finding.text for finding in found if finding.level == level), found
    if level != "problem" and (name, level) != ("t5", "warning"):
        assert not [finding for finding in found if finding.level == "problem"]


@pytest.mark.parametrize(
    ("name", "over", "field"),
    [
        ("llama", {"lora_targets": "w_proj"}, "lora_targets"),
        ("llama", {"modules_to_save": "nowhere"}, "modules_to_save"),
        ("gemma2", {"attention": "sdpa"}, "attention"),
    ],
)
def test_problem_of_the_adapter_is_shown_at_its_field(studio, here, name, over, field):
    folder_of(studio, name)
    config = QLoRAConfig(**{"model": "tiny", "lora_rank": 2} | over)
    found = preflight_model.findings(catalogue.find(studio, "tiny"), config)
    assert [finding.fields for finding in found if finding.level == "problem"] == [(field,)]


def test_changed_model_config_is_examined_again(studio, here):
    folder, config = folder_of(studio, "llama"), QLoRAConfig(model="tiny", lora_rank=2)
    model = catalogue.find(studio, "tiny")
    before = preflight_model.findings(model, config)
    LlamaConfig(vocab_size=32, hidden_size=32, num_hidden_layers=1).save_pretrained(folder)
    after = preflight_model.findings(model, config)
    assert "14 modules" in before[-1].text
    assert "7 modules" in after[-1].text


@pytest.mark.parametrize(
    ("file", "words"),
    [("pytorch_model.bin", "has its weights in pytorch_model.bin only"),
     ("pytorch_model-00001-of-00002.bin", "has its weights in pytorch_model.bin only"),
     ("adapter_config.json", "tiny is an adapter, not a base model. Choose its base model, org/base.")],
)  # fmt: skip
def test_files_that_make_no_base_model_are_problems(studio, here, file, words):
    folder = folder_of(studio, "llama")
    (folder / file).write_text('{"base_model_name_or_path": "org/base"}')
    found = preflight_model.findings(catalogue.find(studio, "tiny"), QLoRAConfig(model="tiny"))
    assert any(words in finding.text for finding in found if finding.level == "problem")
    (folder / "model.safetensors").touch()
    found = preflight_model.findings(catalogue.find(studio, "tiny"), QLoRAConfig(model="tiny"))
    assert any(words in finding.text for finding in found) == (file == "adapter_config.json")


def test_adapter_folder_without_a_config_is_named_as_such(studio):
    folder = studio.models_dir / "tiny"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(StudioError, match="is an adapter, not a base model"):
        catalogue.find(studio, "tiny")


def test_refused_run_leaves_no_process_and_no_folder(runs, monkeypatch):
    """The examination itself runs in its own process here."""
    folder_of(runs.settings, "llama")
    monkeypatch.setattr(process, "launch", lambda *_, **__: pytest.fail("a worker was started"))
    config = QLoRAConfig(model="tiny", lora_targets="q_prj", modules_to_save="hed")
    with pytest.raises(StudioError, match="'q_prj' matches no module") as raised:
        process.submit(runs, config)
    assert "'hed' is not in tiny" in str(raised.value)
    assert runs.runs() == []


def test_examination_without_report_is_an_error_with_the_reason(studio, monkeypatch, capfd):
    folder_of(studio, "llama")
    preflight_model._report.cache_clear()
    dead = subprocess.CompletedProcess([], 1, "", "Traceback\nMemoryError: bad_alloc\n")
    monkeypatch.setattr(preflight_model.subprocess, "run", lambda *_, **__: dead)
    (found,) = preflight_model.findings(catalogue.find(studio, "tiny"), QLoRAConfig(model="tiny"))
    assert found.text.startswith("The model could not be examined ")
    # The reason is that of the other process, whose whole output goes to the server's log.
    assert "status 1: MemoryError: bad_alloc" in found.text
    assert capfd.readouterr().err.startswith("Traceback\n")
