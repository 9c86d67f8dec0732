"""Imports in the Export tab: what is listed, the job and its result, removal, and values that are refused."""

import zipfile
from types import SimpleNamespace

import pytest

from core.chat.types import BaseIdentity
from core.errors import StudioError
from core.evaluate.store import EvaluationStore
from core.export.import_settings import ImportSettings
from core.system.jobs import Jobs
from studio.chat.model_picker import ModelPicker
from studio.evaluate.start_form import StartForm
from studio.export_import import ImportActions
from tests.helpers.exports import write_tiny_run

VALUES = {"source": "", "revision": "", "base": "tiny", "quantization": "none", "compute_dtype": "float32", "token": ""}


@pytest.fixture
def do(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer)
    path = settings.uploads_dir / "lora.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in run.adapter.iterdir():
            archive.write(file, file.name)
    actions = ImportActions(settings, Jobs())
    actions.zip = str(path)
    return actions


def test_import_lists_the_adapter_and_removal_deletes_it(do, settings):
    none = do.list_adapters()
    assert (none["remove"]["interactive"], "None is imported yet" in none["imported"]["info"]) == (False, True)
    last = list(do.add(do.zip, **VALUES))[-1]
    assert last["remove"]["interactive"]
    assert "lora: LoRA of rank 4, on tiny · unquantized · float32." in last["result"]
    assert last["imported"]["choices"] == [("lora (LoRA of rank 4)", "lora")]
    assert ("tiny (local)", "tiny") in last["base"]["choices"]
    evaluations = EvaluationStore(settings)
    assert ("lora", "lora") in StartForm(evaluations).lanes()
    picker = ModelPicker(SimpleNamespace(engine=SimpleNamespace(store=evaluations.runs)))
    base = BaseIdentity("tiny", quantization="none", compute_dtype="float32")
    assert [run.id for run in picker.runs_on(base)] == ["lora"]
    assert do.remove("lora")["imported"]["choices"] == []
    assert [path.name for path in settings.adapters_dir.iterdir() if path.name != ".lock"] == []


@pytest.mark.parametrize(
    ("upload", "values", "words"),
    [
        (False, {}, "No adapter is named"),
        (False, {"source": "nonsense"}, "'nonsense' is not a Hub id"),
        (True, {"quantization": "int3"}, "Quantization"),
        (True, {"base": "../runs"}, "Set Base model"),
    ],
)
def test_value_that_cannot_be_used_is_refused(do, upload, values, words):
    with pytest.raises(StudioError, match=words):
        list(do.add(do.zip if upload else None, **(VALUES | values)))
    assert do.list_adapters()["imported"]["choices"] == []


def test_removal_without_a_choice_is_refused(do):
    with pytest.raises(StudioError, match="No adapter is chosen"):
        do.remove(None)


def test_form_has_every_setting():
    assert set(VALUES) == set(ImportSettings.model_fields)
