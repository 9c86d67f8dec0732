"""A setting changed on resume takes effect from the first step, or is rejected by name."""

import math

import pytest
import torch
from transformers import TrainerCallback

from core.errors import StudioError
from core.kernels import attention
from core.models import embedded
from core.models.loading import LoadedBase
from core.runs import checkpoints, process
from core.runs.checkpoints import Checkpoint
from core.runs.config import TITLES, QLoRAConfig
from core.runs.events import EventWriter, NoEvents, PreparedEvent, StepEvent
from core.runs.store import Run, RunState, RunStore
from core.settings import Settings
from core.train.callback import Reporter
from core.train.trainer import StudioTrainer
from core.train.trl_config import make_sft_config
from tests.helpers.datasets import copy_bundled
from tests.helpers.tiny_model import random_rows, tiny_llama

# Each setting: another value than the default, and what a resume does with it.
EFFECT, REFUSED = "takes effect", "refused"
TABLE = {
    "model": ("other", REFUSED),
    "revision": ("v2", REFUSED),
    "quantization": ("int8", REFUSED),
    "double_quantization": (False, REFUSED),
    "compute_dtype": ("float32", REFUSED),
    "attention": ("eager", REFUSED),
    "kernels": ("off", EFFECT),
    "lora_rank": (7, REFUSED),
    "lora_alpha": (9, REFUSED),
    "lora_dropout": (0.2, REFUSED),
    "lora_targets": ("q_proj", REFUSED),
    "lora_rslora": (True, REFUSED),
    "lora_dora": (True, REFUSED),
    "lora_bias": ("all", REFUSED),
    "lora_init": ("gaussian", REFUSED),
    "start_adapter": ("other", REFUSED),
    "modules_to_save": ("lm_head", REFUSED),
    "subset": ("other", REFUSED),
    "task": ("classify", REFUSED),
    "merge_labels": (False, REFUSED),
    "held_out_share": (0.1, REFUSED),
    "chat_template": ("chatml", REFUSED),
    "answers_only": (False, REFUSED),
    "neftune_alpha": (5.0, REFUSED),
    "learning_rate": (3e-3, EFFECT),
    "scheduler": ("linear", EFFECT),
    "warmup_ratio": (0.5, EFFECT),
    "optimizer": ("lion", REFUSED),
    "adam_beta1": (0.8, EFFECT),
    "adam_beta2": (0.95, EFFECT),
    "weight_decay": (0.01, EFFECT),
    "max_grad_norm": (0.3, EFFECT),
    "loss": ("dft", REFUSED),
    "label_smoothing": (0.1, REFUSED),
    "max_length": (512, REFUSED),
    "packing": (False, REFUSED),
    "batch_size": (2, REFUSED),
    "gradient_accumulation": (3, REFUSED),
    "gpus": (2, EFFECT),
    "epochs": (2.0, EFFECT),
    "max_steps": (12, EFFECT),
    "gradient_checkpointing": ("on", EFFECT),
    "gpu_memory": (4.0, EFFECT),
    "seed": (5, REFUSED),
    "deterministic": ("on", EFFECT),
    "eval_steps": (3, EFFECT),
    "eval_rows": (3, REFUSED),
    "save_steps": (3, EFFECT),
    "keep_checkpoints": (2, EFFECT),
    "keep_best": (True, EFFECT),
    "early_stopping": (2, EFFECT),
    "sample_prompts": ("Hi?", EFFECT),
    "sample_tokens": (8, EFFECT),
    "report_to": ("tensorboard", EFFECT),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A run store for runs that consist of files only."""
    settings = Settings(home=tmp_path_factory.mktemp("home")).prepare()
    copy_bundled(settings)
    model = embedded.folder(settings)
    model.mkdir(parents=True)
    (model / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 8192}')
    return RunStore(settings)


@pytest.fixture
def interrupted(store, monkeypatch):
    """Make an interrupted run that a resume only queues."""
    monkeypatch.setattr(process, "advance", lambda store: None)

    def make(config: QLoRAConfig) -> Run:
        run = store.create(config)
        run.save_state(RunState(status="interrupted", created=1000.0))
        return run

    return make


def test_resume_table_covers_every_setting():
    assert set(TABLE) == set(QLoRAConfig.model_fields)


@pytest.mark.parametrize("name", TABLE)
def test_resume_applies_or_rejects_changed_setting(store, interrupted, name):
    run = interrupted(QLoRAConfig())
    value, outcome = TABLE[name]
    before = getattr(run.config(), name)
    assert value != before
    if outcome == EFFECT:
        assert process.resume(store, run, **{name: value}) == {name: (before, value)}
        assert getattr(run.config(), name) == value
        return
    with pytest.raises(StudioError, match=f"^{TITLES[name]} cannot change when a run is resumed"):
        process.resume(store, run, **{name: value})
    assert getattr(run.config(), name) == before
    assert run.state().status == "interrupted"


NO_EFFECT = "nothing left to do"


@pytest.mark.parametrize(
    ("config", "changes", "status", "words"),
    [
        ({"max_steps": 20}, {"epochs": 3.0}, "stopped", "Epochs 3 would be ignored, because Steps is 20"),
        ({"max_steps": 20}, {"max_steps": 9}, "stopped", "Steps 9 is less than the 10 that are done"),
        # 40 rows in batches of 8: 5 steps per epoch.
        ({"epochs": 2}, {"epochs": 1.0}, "finished", "Epochs 1 are 5 steps, which is less than the 10 that are done"),
        (
            {"epochs": 3},
            {"epochs": 1.0},
            "interrupted",
            "Epochs 1 are 5 steps, which is less than the 10 that are done",
        ),
        ({"max_steps": 20}, {"max_steps": 0}, "interrupted", "Epochs 1 are 5 steps"),
        ({"max_steps": 10}, {"max_steps": 9}, "finished", "Steps 9 is less than the 10 that are done"),
        ({"max_steps": 10}, {"max_steps": 0, "epochs": 2.0}, "finished", NO_EFFECT),
        ({"epochs": 2}, {"max_steps": 10}, "finished", NO_EFFECT),
        ({"epochs": 2}, {"learning_rate": 1e-5}, "finished", NO_EFFECT),
        ({"epochs": 2}, {}, "finished", NO_EFFECT),
        ({"epochs": 2}, {"epochs": 2.5}, "finished", ""),
        ({"epochs": 2}, {"max_steps": 11}, "finished", ""),
        ({"max_steps": 20}, {"max_steps": 10}, "interrupted", ""),
        ({"epochs": 2}, {"learning_rate": 1e-5}, "stopped", ""),
        # It ended early.
        ({"max_steps": 20, "early_stopping": 2}, {}, "finished", NO_EFFECT),
        ({"max_steps": 20, "early_stopping": 2}, {"early_stopping": 0}, "finished", ""),
        ({"max_steps": 20, "early_stopping": 2}, {"max_steps": 15}, "finished", ""),
    ],
)
def test_resume_rejects_length_that_has_no_effect(store, interrupted, config, changes, status, words):
    run = interrupted(QLoRAConfig(**config))
    run.save_state(RunState(status=status, created=1000.0))
    checkpoints.folder_of(run.checkpoints_dir, 10).mkdir(parents=True)
    (checkpoints.folder_of(run.checkpoints_dir, 10) / "trainer_state.json").touch()
    checkpoints.mark_complete(run.checkpoints_dir, Checkpoint(step=10))
    writer = EventWriter(run.events_file)
    for event in (PreparedEvent(rows=40), StepEvent(step=10)):
        writer.write(event)
    if words:
        with pytest.raises(StudioError, match=words):
            process.resume(store, run, **changes)
    else:
        assert process.resume(store, run, **changes).keys() == changes.keys()


STEPS = 4
START = {"max_steps": STEPS, "save_steps": STEPS, "learning_rate": 1e-3, "warmup_ratio": 0.0, "eval_rows": 0}


class Recorder(TrainerCallback):
    """Callback that records the optimizer settings and moments of each update."""

    def __init__(self):
        self.groups, self.moments, self.norms, self.saved = [], [], [], []

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **_):
        self.groups.append([dict(group, params=None) for group in optimizer.param_groups])
        self.moments.append([value["exp_avg"].clone() for value in optimizer.state.values() if "exp_avg" in value])
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())

    def on_save(self, args, state, control, **_):
        self.saved.append(state.global_step)


def train(folder, tokenizer, resumed: bool, **changes):
    """Train a tiny model in this process, from its first step or from the checkpoint after `STEPS`."""
    config = QLoRAConfig(**(START | {"compute_dtype": "float32", "batch_size": 2, "eval_steps": 0} | changes))
    base = LoadedBase(tiny_llama(attention=attention.PACKED), tokenizer)
    base.model.requires_grad_(False)
    total = config.max_steps or round(config.epochs * 5)
    run = Run(folder)
    trainer = StudioTrainer(
        config, base, random_rows([9] * 10), args=make_sft_config(config, str(run.checkpoints_dir), total)
    )
    recorder = Recorder()
    trainer.add_callback(Reporter(run, NoEvents(), trainer, [], config))
    trainer.add_callback(recorder)
    trainer.train(resume_from_checkpoint=str(checkpoints.folder_of(run.checkpoints_dir, STEPS)) if resumed else None)
    return trainer, recorder


@pytest.fixture(scope="module")
def begun(tmp_path_factory, small_tokenizer):
    """The folder of a run of `STEPS` steps, and the optimizer's moments in its checkpoint."""
    folder = tmp_path_factory.mktemp("begun")
    trainer, _ = train(folder, small_tokenizer, resumed=False)
    return folder, [value["exp_avg"].clone() for value in trainer.optimizer.state.values()]


def cosine(step: int, total: int, warmup: int = 0) -> float:
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


# Settings that a resume changes, and the learning rate of the first resumed step by the formula of the new schedule.
SCHEDULES = {
    "max_steps": ({"max_steps": 8}, 1e-3 * cosine(STEPS, 8)),
    "learning_rate": ({"max_steps": 8, "learning_rate": 2e-3}, 2e-3 * cosine(STEPS, 8)),
    "scheduler": ({"max_steps": 8, "scheduler": "linear"}, 1e-3 * (1 - STEPS / 8)),
    "constant": ({"max_steps": 8, "scheduler": "constant"}, 1e-3),
    "warmup_ratio": ({"max_steps": 8, "warmup_ratio": 0.75}, 1e-3 * STEPS / 6),
    "epochs": ({"max_steps": 0, "epochs": 2.0}, 1e-3 * cosine(STEPS, 10)),
    "batches": ({"max_steps": 6}, 1e-3 * cosine(STEPS, 6)),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_first_resumed_step_uses_rate_of_new_schedule(begun, small_tokenizer, case):
    changes, rate = SCHEDULES[case]
    _, recorder = train(begun[0], small_tokenizer, resumed=True, save_steps=100, **changes)
    assert [group["lr"] for group in recorder.groups[0]] == pytest.approx([rate] * 2, rel=1e-12)
    assert all(a.equal(b) for a, b in zip(recorder.moments[0], begun[1], strict=True)), "moments stay"


def test_first_resumed_step_uses_new_optimizer_settings(begun, small_tokenizer):
    changes = {"adam_beta1": 0.8, "adam_beta2": 0.95, "weight_decay": 0.5, "max_grad_norm": 1e-3, "max_steps": 5}
    _, recorder = train(begun[0], small_tokenizer, resumed=True, save_steps=100, **changes)
    assert {group["betas"] for group in recorder.groups[0]} == {(0.8, 0.95)}
    # Norms and biases have no weight decay.
    assert {group["weight_decay"] for group in recorder.groups[0]} == {0.5, 0.0}
    assert recorder.norms[0] == pytest.approx(1e-3, rel=1e-3)


def test_first_resumed_adafactor_step_uses_new_rate(tmp_path, small_tokenizer):
    train(tmp_path, small_tokenizer, resumed=False, optimizer="adafactor")
    changes = {"optimizer": "adafactor", "max_steps": 5, "learning_rate": 5e-4, "scheduler": "constant"}
    _, recorder = train(tmp_path, small_tokenizer, resumed=True, **changes)
    assert [group["lr"] for group in recorder.groups[0]] == [5e-4] * 2


@pytest.mark.parametrize(("every", "saved"), [(3, [6, 9]), (100, [9])])
def test_resume_uses_new_checkpoint_interval(begun, small_tokenizer, every, saved):
    _, recorder = train(begun[0], small_tokenizer, resumed=True, max_steps=9, save_steps=every)
    assert recorder.saved == saved


def test_resume_without_changes_is_bit_exact(begun, small_tokenizer):
    """The learning rate comes from the same formula as the one in the checkpoint."""
    folder, _ = begun
    whole, _ = train(folder.parent / "whole", small_tokenizer, resumed=False, max_steps=8)
    again, _ = train(folder.parent / "whole", small_tokenizer, resumed=True, max_steps=8)
    for mine, theirs in zip(again.trained, whole.trained, strict=True):
        assert mine.equal(theirs)
