"""Runs that begin with the values of another adapter: imported, of a run, or of one that does not fit."""

import json
import zipfile

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from core.errors import StudioError
from core.export.import_adapter import import_adapter
from core.export.import_settings import ImportSettings
from core.runs import start_adapter
from core.runs.config import QLoRAConfig
from core.runs.events import NoEvents
from core.runs.store import RunStore
from core.train.preparation import prepare
from tests.helpers.exports import write_tiny_run

SAME = {
    "model": "tiny", "quantization": "none", "compute_dtype": "float32", "max_length": 64, "batch_size": 2,
    "max_steps": 1, "eval_rows": 0, "held_out_share": 0.0, "lora_rank": 4, "lora_alpha": 8,
}  # fmt: skip


@pytest.fixture
def home(settings, small_tokenizer):
    """A home with a run, whose adapter has rank 4 and alpha 8, and with a copy of the adapter as an imported one."""
    run = write_tiny_run(settings, small_tokenizer)
    path = settings.home / "lora.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in run.adapter.iterdir():
            archive.write(file, file.name)
    import_adapter(settings, ImportSettings(source="lora.zip", base="tiny"), path)
    return settings


@pytest.mark.parametrize("name", ["lora", "run"])
def test_run_begins_with_the_values_of_the_adapter(home, name):
    (first,) = RunStore(home).runs()
    named = first.id if name == "run" else name
    config = QLoRAConfig(**SAME, start_adapter=named)
    assert [found.level for found in start_adapter.findings(home, config)] == ["fine"]
    prepared = prepare(home, config, RunStore(home).create(config), NoEvents())
    values = dict(prepared.trainer.model.named_parameters())
    for key, tensor in load_file(first.adapter / "adapter_model.safetensors").items():
        torch.testing.assert_close(values[key.replace(".weight", ".default.weight")], tensor.float())
    assert f"Training began with the values of the adapter {named}." in prepared.summary["choices"]


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"lora_rank": 8, "lora_alpha": 16, "lora_dora": True}, "Set Rank to 4, Alpha to 8, DoRA to off."),
        ({"start_adapter": "nothing"}, "There is no run 'nothing'"),
        ({"start_adapter": "lora/step 3"}, "has no adapter 'step 3'"),
        ({"model": "SmolLM2-135M-Instruct"}, "belongs to the base model tiny"),
    ],
)
def test_adapter_that_does_not_fit_is_a_problem_that_names_what_to_set(home, over, words):
    (found,) = start_adapter.findings(home, QLoRAConfig(**(SAME | {"start_adapter": "lora"} | over)))
    assert found.level == "problem"
    assert words in found.text


def test_adapter_with_other_modules_is_refused_when_the_model_is_loaded(home):
    config = QLoRAConfig(**SAME, start_adapter="lora", lora_targets="q_proj")
    with pytest.raises(StudioError, match=r"has other modules than this run.*is 4 × 96 there and absent here"):
        prepare(home, config, RunStore(home).create(config), NoEvents())


def test_adapter_with_ranks_of_single_modules_cannot_be_trained_further(home):
    path = home.adapters_dir / "lora" / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rank_pattern": {"q_proj": 2}}))
    (found,) = start_adapter.findings(home, QLoRAConfig(**SAME, start_adapter="lora"))
    assert "has rank_pattern, which a run has no setting for" in found.text


def test_start_from_adapter_excludes_other_initial_values():
    with pytest.raises(ValidationError, match="the adapter to start from has values already"):
        QLoRAConfig(start_adapter="lora", lora_init="gaussian")
