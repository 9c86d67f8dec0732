"""Cleanup lists files before it removes them, and never lists those that are needed."""

import os
import time

import pytest

from core.access import visibility
from core.access.roles import Caller, Role, acting
from core.errors import StudioError
from core.runs import cleanup

OLD = time.time() - 40 * 86400


def checkpoint(run, step: int):
    folder = run.checkpoints_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"x" * 5000)
    return folder


def names(settings, *kinds, **more) -> list[str]:
    return [item.name for item in cleanup.list_removable(settings, kinds, **more)]


def test_cleanup_never_lists_what_is_needed(a_run, runs):
    ended, shown, queued = a_run(), a_run(), a_run(status="queued", ended=None)
    visibility.publish(runs.settings, "runs", shown.id, True)
    for run in (ended, shown, queued):
        checkpoint(run, 3)
    assert names(runs.settings, "runs") == [f"runs/{ended.id}"]
    assert names(runs.settings, "checkpoints") == [f"runs/{ended.id}/checkpoints/checkpoint-3"]


def test_cleanup_filters_by_age_and_size(settings):
    (settings.home / "uploads").mkdir()
    for name, size, when in (("old", 10, OLD), ("large", 2**21, time.time()), ("both", 2**22, OLD)):
        (settings.home / "uploads" / name).write_bytes(b"x" * size)
        os.utime(settings.home / "uploads" / name, (when, when))
    assert names(settings, "uploads") == ["uploads/both", "uploads/large", "uploads/old"]
    assert names(settings, "uploads", days=30) == ["uploads/both", "uploads/old"]
    assert names(settings, "uploads", days=30, mib=1) == ["uploads/both"]


def test_cleanup_lists_first_and_removes_what_was_listed(a_run, runs):
    run = a_run()
    needed, superfluous = checkpoint(run, 3), checkpoint(run, 6)
    items = cleanup.list_removable(runs.settings, ["checkpoints"])
    assert needed.is_dir()
    assert superfluous.is_dir()
    removed, left = cleanup.remove(runs.settings, [item for item in items if item.path == superfluous])
    assert ([item.size for item in removed], left) == ([5000], {})
    assert needed.is_dir()
    assert not superfluous.exists()


def test_cleanup_keeps_run_that_was_resumed(a_run, runs):
    run = a_run()
    items = cleanup.list_removable(runs.settings, ["runs"])
    run.save_state(run.saved_state().model_copy(update={"status": "queued"}))
    assert cleanup.remove(runs.settings, items) == ([], {f"runs/{run.id}": "its run was resumed or published"})
    assert run.folder.is_dir()


def test_cleanup_names_what_the_system_does_not_remove(settings, monkeypatch):
    for name in ("one", "two"):
        (settings.exports_dir / name).mkdir()
    remove = cleanup.shutil.rmtree

    def refuse_one(path):
        if path.name == "one":
            raise PermissionError(13, "Permission denied")
        remove(path)

    monkeypatch.setattr(cleanup.shutil, "rmtree", refuse_one)
    removed, left = cleanup.remove(settings, cleanup.list_removable(settings, ["exports"]))
    assert [item.name for item in removed] == ["exports/two"]
    assert left == {"exports/one": "Permission denied"}


def test_cleanup_lists_old_hidden_folders_as_leftovers(settings):
    for name, when in ((".cut-old", OLD), (".cut-new", time.time())):
        (settings.subsets_dir / name).mkdir()
        os.utime(settings.subsets_dir / name, (when, when))
    assert names(settings, "leftovers") == ["subsets/.cut-old"]


def test_cleanup_removes_link_not_its_target(settings, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    (settings.exports_dir / "link").symlink_to(tmp_path / "elsewhere")
    cleanup.remove(settings, cleanup.list_removable(settings, ["exports"]))
    assert not (settings.exports_dir / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").exists()


def test_cleanup_rejects_invalid_arguments(settings):
    with pytest.raises(StudioError, match=r"no kind '\.\./runs'"):
        cleanup.list_removable(settings, ["../runs"])
    with pytest.raises(StudioError, match="0 or more"):
        cleanup.list_removable(settings, ["runs"], days=-1)
    with acting(Caller(Role.VISITOR, "x")), pytest.raises(StudioError, match="Only the owner can free disk space"):
        cleanup.list_removable(settings, ["runs"])
