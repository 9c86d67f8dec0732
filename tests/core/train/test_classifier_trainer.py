"""Classifiers of several families: their loss, metrics, checkpoints and adapters against plain PyTorch and PEFT."""

import json
import math
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.errors import StudioError
from core.hardware import gpu
from core.runs import checkpoints, classifier
from core.runs.events import EvalEvent, PreparedEvent, SampleEvent, StepEvent
from core.runs.store import RunStore
from core.train import dry_run, worker
from core.train.classifier_trainer import metrics_of
from core.train.distributed import SINGLE
from core.train.preparation import prepare
from tests.helpers.labeled import LABELS, classify_config, write_model, write_subset

STEPS = {"max_steps": 2, "batch_size": 4, "gradient_accumulation": 2, "eval_rows": 8, "eval_steps": 0}


def of_kind(run, kind):
    return [event for event in run.events() if isinstance(event, kind)]


def trained(settings, **over):
    run = RunStore(settings).create(classify_config(**(STEPS | over)))
    assert worker.train(settings, run) == ("finished", "")
    return run


@pytest.mark.parametrize(
    ("family", "head", "quantization"),
    [
        ("llama", ["score"], "none"),
        ("gpt2", ["score"], "none"),
        ("bert", ["bert.pooler", "classifier"], "nf4"),
        ("roberta", ["classifier"], "nf4"),
        ("distilbert", ["classifier", "pre_classifier"], "none"),
        ("deberta-v2", ["classifier", "pooler"], "none"),
    ],
)
def test_family_trains_and_peft_loads_its_adapter(settings, small_tokenizer, family, head, quantization):
    write_model(settings, family, small_tokenizer)
    write_subset(settings)
    run = trained(settings, sample_prompts="A good film", quantization=quantization)
    prepared = of_kind(run, PreparedEvent)[0]
    assert (prepared.rows, prepared.held_out_rows, prepared.answer_tokens) == (60, 8, 0)
    assert any(choice.startswith("Rows are padded") for choice in prepared.choices)
    assert any("have no effect" in choice for choice in prepared.choices)
    first, last = of_kind(run, EvalEvent)
    assert all(0 <= value <= 1 for value in (first.accuracy, last.accuracy, first.macro_f1, last.macro_f1))
    assert all(label in of_kind(run, SampleEvent)[0].answers[0] for label in LABELS)

    # As the export describes it; the base is loaded unquantized, so only an unquantized run gives the same loss.
    saved = json.loads((run.adapter / "classifier.json").read_text())
    assert list(saved["id2label"].values()) == LABELS
    base = AutoModelForSequenceClassification.from_pretrained(settings.models_dir / "tiny", num_labels=2)
    base.config.pad_token_id = saved["pad_token_id"]
    tuned = PeftModel.from_pretrained(base, run.adapter).eval()
    saved_head = {name for name in load_file(run.adapter / "adapter_model.safetensors") if "lora_" not in name}
    assert all(any(f".{part}." in name for name in saved_head) for part in head)
    tokenizer = AutoTokenizer.from_pretrained(run.adapter)
    rows = classifier.LabeledSubset(settings, run.config(), worker_rows(settings, run)).held_out.rows
    losses = []
    for row in rows:
        with torch.no_grad():
            logits = tuned(**tokenizer(row.text, return_tensors="pt")).logits
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor([LABELS.index(row.label)])).item())
    if quantization == "none":
        assert math.fsum(losses) / len(losses) == pytest.approx(last.loss, rel=1e-4)


def worker_rows(settings, run):
    from core.data import subset

    return subset.load(settings, run.config().subset)


def test_steps_equal_plain_loop_over_rows(settings, small_tokenizer):
    write_model(settings, "llama", small_tokenizer)
    write_subset(settings)
    config = classify_config(**STEPS, scheduler="constant", warmup_ratio=0.0, save_steps=0)
    run = RunStore(settings).create(config)
    trainer = prepare(settings, config, run, worker.NoEvents()).trainer
    rows = {row["row"]: row for row in trainer.train_dataset}
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    order = trainer.take_rows()

    trainer.model.load_state_dict(start)
    trainer.model.train()
    optimizer = torch.optim.AdamW(trainer.trained, lr=config.learning_rate, weight_decay=0.0)
    expected = []
    for at in (0, 8):
        parts = []
        for number in order[at : at + 8]:
            logits = trainer.model(input_ids=torch.tensor([rows[number]["input_ids"]])).logits
            parts.append(torch.nn.functional.cross_entropy(logits, torch.tensor(rows[number]["labels"])))
        loss = torch.stack(parts).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainer.trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, rel=1e-4)


def test_resumed_run_equals_uninterrupted_one(settings, small_tokenizer):
    write_model(settings, "llama", small_tokenizer)
    write_subset(settings)
    over = {"max_steps": 4, "save_steps": 2, "lora_dropout": 0.1, "neftune_alpha": 5.0, "label_smoothing": 0.1}
    whole = trained(settings, **over)
    again = RunStore(settings).create(whole.config())
    shutil.copytree(whole.folder, again.folder, dirs_exist_ok=True)
    shutil.rmtree(again.adapter)
    shutil.rmtree(checkpoints.folder_of(again.checkpoints_dir, 4))
    again.save_state(again.saved_state().model_copy(update={"resumes": True, "status": "preparing"}))
    assert worker.train(settings, again) == ("finished", "")
    assert [(e.step, e.loss) for e in of_kind(again, StepEvent)] == [
        (e.step, e.loss) for e in of_kind(whole, StepEvent)
    ]
    one, other = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, again))
    assert all(one[name].equal(other[name]) for name in one)
    assert classifier.read(again.adapter) == classifier.read(whole.folder)

    classifier.read(again.folder).model_copy(update={"id2label": {0: "x", 1: "y"}}).write(again.folder)
    with pytest.raises(StudioError, match="The run began with the labels x, y"):
        prepare(settings, again.config(), again, worker.NoEvents(), SINGLE)


def test_learnable_labels_are_learned(settings, small_tokenizer):
    write_model(settings, "llama", small_tokenizer)
    write_subset(settings)
    run = trained(settings, max_steps=12, keep_best=True, eval_steps=6)
    *_, last = of_kind(run, EvalEvent)
    assert (last.accuracy, last.macro_f1) == (1.0, 1.0)
    assert classifier.is_classifier(run.adapter)


def test_dry_run_measures_a_classifier(settings, small_tokenizer, monkeypatch):
    for name, value in gpu.only(0).items():
        monkeypatch.setenv(name, value)
    write_model(settings, "bert", small_tokenizer)
    write_subset(settings)
    found = dry_run.perform(settings, classify_config(**STEPS), lambda share, text: None)
    assert found.run_seconds == pytest.approx(2 * found.step_seconds)
    assert not list(settings.runs_dir.iterdir())


def test_metrics_equal_worked_example():
    # Classes 0 to 2 have F1 of 4/5, 2/3 and 2/3; class 3 neither occurs nor is predicted, and does not count.
    confusion = torch.tensor([[2, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    confusion[0, 2] = 1
    found = metrics_of(confusion)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["macro_f1"] == pytest.approx((2 * 2 / (3 + 3) + 2 / (2 + 1) + 2 / (1 + 2)) / 3)
