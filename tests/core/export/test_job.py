"""Exports as jobs: files that load elsewhere, killed jobs that leave nothing under their name, and refusals."""

import time
import zipfile

import pytest
import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.errors import StudioError
from core.export import job
from core.export.config import FORMS, ExportConfig
from core.export.job import export
from tests.helpers.exports import CHATML, write_tiny_run


@pytest.fixture
def run(settings, small_tokenizer):
    return write_tiny_run(settings, small_tokenizer)


def unpack(path, folder):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder / path.stem


def left_over(settings):
    """Return what lies in the folder of exports beside finished files and locks."""
    return [path.name for path in settings.exports_dir.iterdir() if path.name.startswith(".") and path.is_dir()]


def test_merged_model_loads_without_the_studio(settings, run, tmp_path):
    stages = []
    done = export(
        settings, run.id, "final", ExportConfig(form="merged", dtype="float32", check_rows=2),
        lambda share, stage: stages.append((share, stage)),
    )  # fmt: skip
    folder = unpack(done.path, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert AutoTokenizer.from_pretrained(folder).chat_template == CHATML
    assert done.size == done.path.stat().st_size
    assert done.fidelity.rows == 2
    assert done.fidelity.mean_kl == pytest.approx(0, abs=1e-6)
    readme = (folder / "README.md").read_text()
    assert done.fidelity.describe() in readme
    assert "base_model_relation: merge" in readme
    assert [share for share, _ in stages] == sorted(share for share, _ in stages)
    assert left_over(settings) == []


def test_gguf_and_ollama_hold_the_same_model(settings, run, tmp_path):
    file = export(settings, run.id, "final", ExportConfig(form="gguf", quantization="Q8_0", check_rows=2))
    packed = export(settings, run.id, "final", ExportConfig(form="ollama", quantization="Q8_0", check_rows=2))
    assert file.path.suffix == ".gguf"
    folder = unpack(packed.path, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["Modelfile", "README.md", "model.gguf"]
    assert (folder / "model.gguf").read_bytes() == file.path.read_bytes()
    assert file.fidelity == packed.fidelity
    assert 0 < file.fidelity.mean_kl < 0.01


def test_original_base_is_told_from_the_base_as_trained(settings, run):
    trained, original = (
        export(settings, run.id, "final", ExportConfig(form="merged", base=base, dtype="float32", check_rows=2))
        for base in ("as trained", "original")
    )
    assert trained.path != original.path
    assert original.fidelity.mean_kl > 100 * trained.fidelity.mean_kl


def test_checkpoint_without_held_out_rows_is_not_compared(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer)
    done = export(settings, run.id, "final", ExportConfig(form="gguf", check_rows=0))
    assert done.fidelity is None
    assert done.notes == []


def test_adapter_is_written_at_once(settings, run):
    assert export(settings, run.id, "final", ExportConfig()).path.name.endswith("-final.zip")


def test_second_export_of_a_file_is_refused_while_the_first_runs(settings, run):
    config = ExportConfig(form="gguf", check_rows=0)
    name = export(settings, run.id, "final", config).path.name
    with FileLock(settings.exports_dir / f".{name}.lock"), pytest.raises(StudioError, match="exported already"):
        export(settings, run.id, "final", config)


def test_full_disk_is_reported_before_anything_is_written(settings, run, monkeypatch):
    monkeypatch.setattr(job.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(StudioError, match="of disk, and 1,000 bytes are free"):
        export(settings, run.id, "final", ExportConfig(form="merged"))
    assert left_over(settings) == []


def test_int8_run_is_merged_onto_the_original_weights_only(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer, quantization="int8")
    with pytest.raises(StudioError, match="Base weights to original"):
        export(settings, run.id, "final", ExportConfig(form="merged"))
    done = export(settings, run.id, "final", ExportConfig(form="merged", base="original", check_rows=1))
    assert "int8 rounds products" in done.notes[0]


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.3])
def test_killed_export_leaves_no_file_and_the_next_one_succeeds(settings, run, fork_server, tmp_path, seconds):
    environment = {"STUDIO_HOME": str(settings.home), "STUDIO_MODELS": str(settings.models_dir)}
    command = ["export", run.id, "--form", "merged", "--check-rows", "2"]
    process = fork_server.start("core", *command, log=tmp_path / "log", environment=environment)
    while not left_over(settings) and process.poll() is None:
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    process.wait(timeout=30)
    written = list(settings.exports_dir.glob("*.zip"))
    assert all(zipfile.ZipFile(path).testzip() is None for path in written), (tmp_path / "log").read_text()
    assert len(left_over(settings)) + len(written) == 1
    done = export(settings, run.id, "final", ExportConfig(form="merged", check_rows=0))
    assert zipfile.ZipFile(done.path).testzip() is None
    assert left_over(settings) == []


def test_name_of_a_file_tells_the_settings_apart():
    changes = {"base": "original", "strength": 0.5, "dtype": "float32", "quantization": "Q4_0"}
    configs = [ExportConfig()]
    for form, about in FORMS.items():
        for name in set(about.settings) & set(changes):
            configs += [ExportConfig(form=form, **{name: changes[name]})]
        configs += [ExportConfig(form=form)] * bool(about.settings)
    names = [config.file_name("run-final") for config in configs]
    assert len(set(names)) == len(names) == 1 + 3 * 4
