"""Pushes of exports, runs and evaluations to a loopback Hub, and the same read by a process without this project."""

import json
import subprocess
import sys
import zipfile

import pytest
import torch
from huggingface_hub import DatasetCard, ModelCard

from core.data import export as data_export
from core.errors import StudioError
from core.export.config import ExportConfig
from core.export.job import export
from core.export.push import push_evaluation, push_export, push_run
from core.hub.push import push_folder
from core.hub.target import PushTarget
from core.runs.exported import list_exports
from tests.helpers.exports import CHATML, write_tiny_run
from tests.helpers.fork_server import PROJECT
from tests.helpers.hub_endpoint import TOKEN, use_hub
from tests.helpers.loopback_hub import LoopbackHub
from tests.helpers.scored_evaluation import scored_evaluation

IDS = [5, 6, 7, 8]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with LoopbackHub(tmp_path / "hub") as made:
        made.add_token(TOKEN, "me")
        use_hub(made, monkeypatch)
        yield made
        assert made.unknown == []


@pytest.fixture
def run(settings, small_tokenizer):
    return write_tiny_run(settings, small_tokenizer, quantization="none")


def target(repo, **options):
    return PushTarget(repo=f"me/{repo}", token=TOKEN, **options)


def files_of(hub, repo, kind="model"):
    return hub.repos[kind, f"me/{repo}"].files


def assert_token_is_nowhere(folder):
    for path in folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_pushed_adapter_model_and_data_load_without_the_studio(hub, settings, run, tmp_path):
    push_folder(settings.models_dir / "tiny", "model", target("base"), "Add the base")
    for form, repo in (("adapter", "adapter"), ("merged", "merged")):
        options = {"dtype": "float32", "check_rows": 0} if form == "merged" else {}
        done = export(settings, run.id, "final", ExportConfig(form=form, **options))
        push_export(settings, done.path.name, target(repo))
    data_export.push(settings, "keeper", "messages", target("rows"))
    store, evaluation = scored_evaluation(settings, tmp_path)
    push_evaluation(store, evaluation.id, target("answers"))
    program = PROJECT / "tests" / "helpers" / "load_from_hub.py"
    repos = [f"me/{name}" for name in ("base", "adapter", "merged", "rows", "answers")]
    done = subprocess.run(
        [sys.executable, "-I", program, *repos, json.dumps(IDS)], env=hub.env(HF_TOKEN=TOKEN), cwd=tmp_path,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["project"] == []
    torch.testing.assert_close(torch.tensor(found["adapter"]), torch.tensor(found["merged"]), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(torch.tensor(found["base"]), torch.tensor(found["adapter"]), atol=1e-3)
    assert found["template"] == CHATML
    assert {split: len(rows) for split, rows in found["rows"].items()} == {"train": 306, "test": 34}
    assert {"prompt", "reference", "messages"} <= set(found["answers"])
    assert_token_is_nowhere(settings.home)


def test_pushed_gguf_has_its_card_and_ollama_its_modelfile(hub, settings, run):
    for form in ("gguf", "ollama"):
        done = export(settings, run.id, "final", ExportConfig(form=form, check_rows=0))
        push_export(settings, done.path.name, target(form))
    files = files_of(hub, "gguf")
    name = next(name for name in files if name.endswith(".gguf"))
    assert files[name] == (settings.exports_dir / name).read_bytes()
    card = ModelCard(files["README.md"].decode())
    assert card.data.base_model == "tiny"
    assert f"hf download me/gguf --local-dir model\nllama-cli -m model/{name}" in card.content
    assert {"Modelfile", "model.gguf", "README.md"} <= set(files_of(hub, "ollama"))
    assert [path.suffix for path in list_exports(settings, run)] == [".zip", ".gguf"]
    assert [path.name for path in settings.exports_dir.iterdir() if path.name.startswith(".")] == []


def test_pushed_run_lies_in_a_folder_beside_its_model(hub, settings, run):
    written = export(settings, run.id, "final", ExportConfig(form="adapter"))
    push_export(settings, written.path.name, target("model"))
    before = dict(files_of(hub, "model"))
    done = push_run(settings, run.id, target("model"))
    files = files_of(hub, "model")
    assert before.items() <= files.items()
    assert {"run/README.md", "run/settings.yaml", "run/curves.csv"} <= files.keys() - before.keys()
    assert b"max_length: 128" in files["run/settings.yaml"]
    assert done.is_private


def test_pushed_evaluation_says_its_verdict(hub, settings, tmp_path):
    store, evaluation = scored_evaluation(settings, tmp_path)
    push_evaluation(store, evaluation.id, target("answers"))
    files = files_of(hub, "answers", "dataset")
    saved = json.loads(files["evaluation.json"])
    card = DatasetCard(files["README.md"].decode())
    assert card.data.configs[0]["data_files"] == [{"split": "test", "path": "answers.parquet"}]
    assert len(saved["lanes"]) == 2
    assert saved["verdict"]["sentence"] in card.content
    assert set(saved["metrics"]) == set(saved["lanes"])


@pytest.mark.parametrize(
    ("name", "words"), [("../x.zip", "cannot be used as an export"), ("none.zip", "There is no finished export")]
)
def test_push_of_what_is_no_export_is_refused(settings, name, words):
    with pytest.raises(StudioError, match=words):
        push_export(settings, name, target("x"))


def test_repository_is_named_as_the_license_of_the_base_demands(hub, settings):
    with zipfile.ZipFile(settings.exports_dir / "mine-adapter.zip", "w") as archive:
        archive.writestr("mine/README.md", "---\nlicense: other\nlicense_name: llama4\n---\n# Mine\n")
        archive.writestr("mine/adapters.safetensors", b"")
    with pytest.raises(StudioError, match=r"'mine' does not begin with 'Llama', .* such as Llama-mine"):
        push_export(settings, "mine-adapter.zip", target("mine"))
    assert ("model", "me/mine") not in hub.repos
    push_export(settings, "mine-adapter.zip", target("Llama-mine"))
    assert b"## From the Hub" in files_of(hub, "Llama-mine")["README.md"]
