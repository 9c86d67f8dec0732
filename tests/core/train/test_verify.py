"""Receipts of runs and their verification: an honest run repeats bit by bit, and each change is named."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.cli import main
from core.data import subset
from core.errors import StudioError
from core.runs import checkpoints
from core.runs import receipt as receipts
from core.runs.config import QLoRAConfig
from core.runs.events import StepEvent
from core.runs.store import RunStore
from core.settings import Settings
from core.system.files import read_json, write_json
from core.train import verification, worker
from core.train.replay import choose_start
from core.train.verification import TOLERANCE, Check, ReplayedStep, Verification, check_kernels, compare_losses
from core.train.verify import verify
from tests.helpers.datasets import copy_bundled
from tests.helpers.tiny_model import tiny_llama
from tests.helpers.tiny_runs import SETTINGS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained_home(tmp_path_factory, small_tokenizer):
    """A home with a run of eight steps and checkpoints at 3, 6 and 8."""
    settings = Settings(home=tmp_path_factory.mktemp("verify") / "home").prepare()
    folder = settings.models_dir / "tiny"
    tiny_llama(vocab_size=len(small_tokenizer)).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    copy_bundled(settings)
    run = RunStore(settings).create(QLoRAConfig(**SETTINGS))
    assert worker.train(settings, run) == ("finished", "")
    run.save_state(run.saved_state().model_copy(update={"status": "finished"}))
    return settings.home


@pytest.fixture
def run(trained_home, tmp_path):
    shutil.copytree(trained_home, tmp_path / "copy")
    (run,) = RunStore(Settings(home=tmp_path / "copy")).runs()
    return run


def verified(run, *arguments, **named):
    return verify(Settings(home=run.folder.parents[1]), run.id, *arguments, **named)


def wrong(found: Verification) -> list[str]:
    return [check.name for check in found.checks if check.outcome == "different"]


def test_honest_run_repeats_bit_by_bit_to_its_adapter(run):
    found = verified(run, 5)
    assert found.outcome == "equal", found
    assert found.start == 3
    assert [(step.step, step.outcome) for step in found.steps] == [(step, "equal") for step in range(4, 9)]
    assert found.verdict == "Equal: 5 steps from step 3 on repeat bit by bit, and all hashes are equal."
    outcomes = {check.name: check.outcome for check in found.checks}
    assert outcomes == dict.fromkeys(outcomes, "equal")
    assert {"weights", "kernels", "base model", "row order", "code", "packages"} < outcomes.keys()
    assert not list(run.folder.parent.glob(".verify-*"))


def test_steps_repeat_from_the_beginning_to_a_checkpoint(run):
    found = verified(run, 3, 0)
    assert found.outcome == "equal", found
    assert "checkpoint-3" in next(check.text for check in found.checks if check.name == "weights")


def change_adapter(run):
    path = run.adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file(tensors | {name: tensors[name] + 0.1}, path)


def change_rows(run):
    path = run.folder.parents[1] / "subsets" / "keeper" / "rows.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        for message in row["messages"]:
            message["content"] = f"Another text of the {message['role']}."
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)


def change_losses(run, field="loss", value=0.5):
    lines = [json.loads(line) for line in run.events_file.read_text().splitlines()]
    next(line for line in lines if line["event"] == "step" and line["step"] == 7)[field] = value
    run.events_file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(("change", "named", "repeated"), [
    (change_adapter, ["adapter", "weights"], []),
    (change_rows, ["rows", "weights"], [7, 8]),
    (change_losses, ["losses"], [7]),
])  # fmt: skip
def test_change_is_named_and_shows_in_the_repeated_steps(run, change, named, repeated):
    change(run)
    found = verified(run, 2)
    assert found.outcome == "different"
    assert wrong(found) == named
    assert [step.step for step in found.steps if step.outcome == "different"] == repeated
    assert all(name in found.verdict for name in [*named, *map(str, repeated)])


def change_settings(run):
    run.save_config(run.config().model_copy(update={"learning_rate": 1e-3}))


def change_recipe(run):
    path = run.folder / "subset.json"
    write_json(path, read_json(path) | {"sha256": "0" * 64})


def change_base(run):
    path = run.folder.parents[1] / "models" / "tiny" / "model.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file(tensors | {name: torch.zeros_like(tensors[name])}, path, {"format": "pt"})


def change_order(run):
    change_losses(run, "rows", [1, 2, 3])


def remove_last_step(run):
    lines = run.events_file.read_text().splitlines(keepends=True)
    run.events_file.write_text(
        "".join(line for line in lines if '"event": "step", "time"' not in line or '"step": 8' not in line)
    )


@pytest.mark.parametrize(("change", "named"), [
    (change_settings, "settings"), (change_recipe, "recipe"), (change_base, "base model"), (change_order, "row order"),
    (remove_last_step, "losses"),
])  # fmt: skip
def test_change_is_named_by_the_hashes_alone(run, change, named):
    change(run)
    found = verified(run, 0)
    assert named in wrong(found)
    assert set(wrong(found)) <= {named, "row order"}


def test_hashes_alone_are_no_verdict_on_the_steps(run):
    found = verified(run, 0)
    assert (found.outcome, found.verdict) == ("unknown", "The hashes are equal, and no step was repeated.")


def test_other_package_is_no_difference(run, monkeypatch):
    monkeypatch.setattr(verification, "package_versions", lambda: {"torch": "9"})
    found = verified(run, 0)
    assert found.outcome == "unknown"
    assert "torch 9, then" in next(check.text for check in found.checks if check.name == "packages")


def test_deleted_subset_leaves_the_other_hashes(run):
    shutil.rmtree(run.folder.parents[1] / "subsets" / "keeper")
    found = verified(run, 2)
    assert wrong(found) == []
    assert {check.name for check in found.checks if check.outcome == "unknown"} == {"rows", "steps"}


def test_run_without_a_receipt_or_a_fitting_checkpoint_is_refused(run):
    with pytest.raises(StudioError, match=r"cannot be repeated from step 4. Choose one of: 0, 3, 6"):
        verified(run, 2, 4)
    (run.adapter / receipts.FILE).write_text("{")
    with pytest.raises(StudioError, match=r"receipt of the run .* is damaged"):
        verified(run)
    (run.adapter / receipts.FILE).unlink()
    with pytest.raises(StudioError, match=r"has no receipt: .* Duplicate it and train it again"):
        verified(run)
    run.save_state(run.saved_state().model_copy(update={"status": "queued"}))
    with pytest.raises(StudioError, match="is queued"):
        verified(run)


@pytest.mark.parametrize(("steps", "start"), [(1, 6), (2, 6), (3, 3), (5, 3), (6, 0), (100, 0)])
def test_steps_begin_at_the_last_checkpoint_after_which_enough_follow(run, steps, start):
    assert choose_start(run, steps) == start


def test_checkpoint_of_the_adapter_alone_is_no_start(run):
    for step in (3, 6):
        (checkpoints.folder_of(run.checkpoints_dir, step) / "trainer_state.json").unlink()
    assert choose_start(run, 1) == 0


def test_rows_on_disk_have_the_hash_of_the_subset(run):
    settings = Settings(home=run.folder.parents[1])
    assert subset.hash_rows(settings, "keeper") == subset.find(settings, "keeper").sha256


def test_chain_depends_on_every_loss_and_on_their_order():
    steps = [StepEvent(step=n, loss=1.0 / n) for n in (1, 2, 3)]
    heads = {receipts.chain(changed)[-1] for changed in (steps, steps[:2], steps[::-1], [*steps[:2], steps[1]])}
    assert len(heads) == 4


def test_free_memory_is_no_choice(run):
    receipt = receipts.read(run).model_copy(update={"kernels": ["It fits (0.4 GiB of 9.1 GiB free)."]})
    assert check_kernels(receipt, ["It fits (0.4 GiB of 12 GiB free)."]).outcome == "equal"
    assert check_kernels(receipt, ["It does not fit (0.4 GiB of 0.1 GiB free)."]).outcome == "other"


@pytest.mark.parametrize(("recorded", "repeated", "outcome"), [
    (2.0, 2.0, "equal"), ("nan", float("nan"), "equal"), (2.0, 2.0 * (1 + TOLERANCE / 2), "within tolerance"),
    (2.0, 2.0 * (1 + 2 * TOLERANCE), "different"), ("nan", 2.0, "different"), (None, 2.0, "different"),
])  # fmt: skip
def test_losses_are_compared_with_a_tolerance(recorded, repeated, outcome):
    assert compare_losses(recorded, repeated) == outcome
    found = Verification(
        run="r", checks=[Check(name="a", outcome="other", text="")],
        steps=[ReplayedStep(step=1, recorded=recorded, repeated=repeated, same_rows=True)],
    )  # fmt: skip
    assert found.outcome == outcome
    assert found.verdict.lower().startswith(outcome)


def test_command_prints_every_comparison_and_fails_on_a_difference(run, monkeypatch, capsys):
    monkeypatch.setenv("STUDIO_HOME", str(run.folder.parents[1]))
    assert main(["verify", run.id, "--steps", "1"]) == 0
    printed = capsys.readouterr().out
    assert "step 7: equal (recorded" in printed
    assert "adapter: equal (3 files as recorded)" in printed
    assert "Equal: 1 step from step 6 on" in printed
    change_losses(run)
    assert main(["verify", run.id, "--steps", "0"]) == 2
    assert "Different: losses." in capsys.readouterr().err
