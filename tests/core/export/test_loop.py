"""Families besides Llama through the whole loop: a run of three steps, answers of the chat, the exported adapter."""

import contextlib
import io
import zipfile

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from core.chat.engine import Engine
from core.chat.queue_entry import QueueEntry
from core.chat.requests import resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.export.adapter import write_adapter
from core.export.card.loading import example_code
from core.runs.config import QLoRAConfig
from core.runs.store import RunStore
from core.train import worker
from tests.helpers.datasets import copy_bundled
from tests.helpers.labeled import LABELS, classify_config, write_model, write_subset

QUESTION = [{"role": "user", "content": "Hi."}]
TINY = {
    "model": "tiny", "quantization": "none", "compute_dtype": "float32", "max_steps": 3, "batch_size": 2,
    "eval_rows": 2, "max_length": 64, "learning_rate": 5e-2, "lora_rank": 4,
}  # fmt: skip


def unpack(settings, run, folder):
    written = write_adapter(settings, run)
    with zipfile.ZipFile(written.path) as archive:
        archive.extractall(folder)
    return folder / written.path.stem


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_causal_family_trains_answers_and_is_exported(settings, small_tokenizer, tmp_path, family):
    copy_bundled(settings)
    write_model(settings, family, small_tokenizer, causal=True)
    run = RunStore(settings).create(QLoRAConfig(**TINY))
    assert worker.train(settings, run) == ("finished", "")
    assert [event.step for event in run.events() if event.event == "step"] == [1, 2, 3]

    engine, sampling = Engine(settings), Sampling(temperature=0, max_new_tokens=4)
    lanes = [LaneRequest(QUESTION, sampling, key) for key in (None, f"{run.id}/final")]
    *_, entry = engine.ask(QueueEntry(resolve_lanes(engine.store, lanes)))
    base, tuned = entry.generations
    assert base.tokens
    assert tuned.tokens
    assert base.ids != tuned.ids

    folder = unpack(settings, run, tmp_path)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(settings.models_dir / "tiny"), folder).eval()
    prompt = torch.tensor([entry.prompts[1].ids])
    with torch.no_grad():
        assert model(prompt).logits[0, -1].argmax().item() == tuned.ids[0]


def test_classifier_is_exported_with_code_that_loads_it(settings, small_tokenizer, tmp_path, monkeypatch):
    write_model(settings, "distilbert", small_tokenizer)
    write_subset(settings)
    run = RunStore(settings).create(classify_config(max_steps=1, batch_size=4, eval_rows=0))
    assert worker.train(settings, run) == ("finished", "")
    folder = unpack(settings, run, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "classifier.json", "settings.yaml",
    ]  # fmt: skip
    readme, code = (folder / "README.md").read_text(), example_code(run, "final")
    assert code in readme
    assert "2 labels, in `classifier.json`" in readme

    (tmp_path / "tiny").symlink_to(settings.models_dir / "tiny")
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue().strip() in LABELS
