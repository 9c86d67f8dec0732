"""Checkpoints of a run: complete ones, pruning and marks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.runs import checkpoints
from core.runs.checkpoints import Checkpoint


def made(folder, step: int, loss: float | None = None, marked: bool = True) -> None:
    checkpoint = checkpoints.folder_of(folder, step)
    checkpoint.mkdir(parents=True)
    (checkpoint / "adapter_model.safetensors").write_bytes(b"x")
    if marked:
        checkpoints.mark_complete(folder, Checkpoint(step=step, loss=loss))


def steps(folder) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints.complete(folder)]


def test_whole_lists_marked_checkpoints_newest_last(tmp_path):
    for step in (100, 5, 20):
        made(tmp_path, step)
    made(tmp_path, 30, marked=False)
    (checkpoints.folder_of(tmp_path, 20) / "whole.json").write_text("{")
    assert steps(tmp_path) == [5, 100]
    checkpoints.remove_incomplete(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-100", "checkpoint-5"]


def test_checkpoint_whose_mark_the_system_cannot_read_is_not_removed(tmp_path, capsys):
    made(tmp_path, 5)
    made(tmp_path, 10, marked=False)
    # Reading a folder as a file is an error of the system, as are a lost network disk and too many open files.
    (checkpoints.folder_of(tmp_path, 10) / "whole.json").mkdir()
    with pytest.raises(IsADirectoryError):
        checkpoints.remove_incomplete(tmp_path)
    assert checkpoints.folder_of(tmp_path, 10).is_dir()
    assert steps(tmp_path) == [5]
    assert "whole.json cannot be read and is left out" in capsys.readouterr().err


@given(
    losses=st.lists(st.none() | st.floats(0, 9) | st.just(float("nan")), min_size=1, max_size=8),
    keep=st.integers(0, 9),
)
def test_prune_keeps_newest_and_best(tmp_path_factory, losses, keep):
    folder = tmp_path_factory.mktemp("c")
    for step, loss in enumerate(losses, 1):
        made(folder, step, loss)
    measured = {step: loss for step, loss in enumerate(losses, 1) if loss is not None and loss == loss}
    top = min(measured, key=lambda step: (measured[step], step), default=None)
    found = checkpoints.best(folder)
    assert (found and found.step) == top
    checkpoints.prune(folder, keep)
    newest = range(1, len(losses) + 1) if not keep else range(len(losses) - keep + 1, len(losses) + 1)
    assert set(steps(folder)) == {step for step in newest if step > 0} | ({top} if top else set())


def test_folder_without_checkpoints_has_none(tmp_path):
    assert checkpoints.complete(tmp_path / "nowhere") == []
    assert checkpoints.best(tmp_path) is None
    checkpoints.prune(tmp_path, 3)


@pytest.mark.parametrize("step", [1, 12_345])
def test_marked_checkpoint_is_read_back(tmp_path, step):
    checkpoint = checkpoints.folder_of(tmp_path, step)
    checkpoint.mkdir()
    given = Checkpoint(step=step, loss=1.25, tokens=77, seconds=3.5)
    checkpoints.mark_complete(tmp_path, given)
    assert checkpoints.complete(tmp_path) == [given]
