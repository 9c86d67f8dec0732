"""The setting `deterministic`: the mode that it sets, its note, and operations that it rejects."""

import os
import re

import pytest
import torch

from core.errors import StudioError
from core.kernels import attention
from core.models.loading import LoadedBase
from core.runs.config import QLoRAConfig
from core.train.determinism import fixed_cublas_workspace, nondeterministic_allowed, set_mode
from core.train.trainer import StudioTrainer
from core.train.trl_config import make_sft_config
from tests.helpers.tiny_model import random_rows, tiny_llama

MODES = ("auto", "on", "off")


@pytest.fixture(autouse=True)
def mode_restored():
    filled = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = filled


def missing_operation():
    """Raise the error of PyTorch for an operation without a deterministic implementation."""
    raise RuntimeError("_histc_cuda does not have a deterministic implementation, but you set …")


@pytest.mark.parametrize(
    ("mode", "on_gpu", "is_set", "words"),
    [
        ("auto", True, True, r"on \(auto: every operation"),
        ("on", True, True, r"on \(as configured\)"),
        ("off", True, False, r"off \(as configured\)"),
        ("auto", False, False, "auto: on a CPU"),
        ("on", False, False, "on: on a CPU"),
        ("off", False, False, r"off \(as configured\)"),
    ],
)
def test_set_mode_is_active_during_trial_step(mode, on_gpu, is_set, words):
    seen = []
    text = set_mode(
        QLoRAConfig(deterministic=mode), on_gpu, lambda: seen.append(torch.are_deterministic_algorithms_enabled())
    )
    assert torch.are_deterministic_algorithms_enabled() == is_set
    assert seen == [True] * is_set
    # PyTorch's flash attention adds in a fixed order only if the mode raises errors, not if it warns.
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert re.match(f"Deterministic is {words}", text)


def test_set_mode_names_operation_without_deterministic_implementation():
    text = set_mode(QLoRAConfig(deterministic="auto"), True, missing_operation)
    assert text.startswith("Deterministic is off (auto: _histc_cuda, which this model uses")
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(StudioError, match=r"_histc_cuda, which this model uses, .* Set Deterministic to auto or off"):
        set_mode(QLoRAConfig(deterministic="on"), True, missing_operation)


def test_set_mode_raises_other_errors_of_trial_step():
    def out_of_memory():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        set_mode(QLoRAConfig(), True, out_of_memory)


@pytest.mark.parametrize(
    ("mode", "given", "inside"),
    [("on", None, ":4096:8"), ("auto", ":16:8", ":16:8"), ("auto", ":0:0", ":4096:8"), ("off", None, None)],
)
def test_cublas_workspace_is_restored_after_context(monkeypatch, mode, given, inside):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if given:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given)
    with fixed_cublas_workspace(QLoRAConfig(deterministic=mode)):
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == inside
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == given


def test_nondeterministic_allowed_restores_mode():
    set_mode(QLoRAConfig(deterministic="on"), True, lambda: None)
    with nondeterministic_allowed():
        assert not torch.are_deterministic_algorithms_enabled()
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("packing", [True, False])
def test_trial_step_runs_backward_and_leaves_state_unchanged(tmp_path, small_tokenizer, packing):
    config = QLoRAConfig(packing=packing, compute_dtype="float32", batch_size=2, max_steps=1, lora_dropout=0.1)
    base = LoadedBase(tiny_llama(attention=attention.PACKED if packing else "sdpa"), small_tokenizer)
    base.model.requires_grad_(False)
    rows = random_rows([40, 1, 9])
    trainer = StudioTrainer(config, base, rows, args=make_sft_config(config, str(tmp_path), 1))
    trainer.model.eval()
    backward = []
    hook = trainer.trained[0].register_hook(backward.append)
    state = torch.get_rng_state()
    trainer.try_step(rows)
    hook.remove()
    assert len(backward) == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in trainer.trained)
    assert not trainer.model.training
    assert (trainer.take_rows(), trainer.take_tokens()) == ([], 0)
    assert len(rows[0]["input_ids"]) == 40
