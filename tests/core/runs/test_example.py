"""The example run: it comes once, can be deleted, and is complete except for what a resume needs."""

import shutil

import pytest
from safetensors.numpy import load_file

from core.access.roles import Caller, Role, acting
from core.data import sources
from core.errors import StudioError
from core.runs import example, process
from core.runs.progress import progress
from core.runs.store import RunStore
from core.settings import Settings


@pytest.fixture
def store(runs):
    settings = Settings(home=runs.settings.home, example=True)
    example.install(settings)
    return RunStore(settings)


def test_install_adds_a_finished_run_with_three_checkpoints_and_its_events(store):
    (run,) = store.runs()
    assert example.is_example(run.id)
    assert run.state().status == "finished"
    assert run.problem() is None
    assert list(run.adapters()) == ["final", "step 192", "step 128", "step 64"]
    now = progress(run.events())
    assert now.held_out_loss < 0.8 * now.base_loss
    assert run.config().lora_rank == 4
    assert run.subset().source.name == sources.BUNDLED


def test_installed_weights_are_rank_4_and_differ_between_checkpoints(store):
    (run,) = store.runs()
    weights = [load_file(folder / "adapter_model.safetensors") for folder in run.adapters().values()]
    final, last, *_ = weights
    name = next(name for name in final if "lora_B" in name)
    assert final[name].shape[1] == 4
    assert (final[name] == last[name]).all(), "the final adapter is that of the last step"
    assert all((final[name] != other[name]).any() for other in weights[2:])


def test_deleted_example_does_not_come_back(store):
    with store.lock():
        store.remove(store.runs()[0])
    example.install(store.settings)
    assert store.runs() == []


def test_install_that_was_interrupted_is_repeated(store):
    (store.settings.home / "example.json").unlink()
    shutil.rmtree(store.runs()[0].folder)
    example.install(store.settings)
    assert len(store.runs()) == 1


def test_switched_off_example_is_not_installed(runs):
    example.install(Settings(home=runs.settings.home, example=False))
    assert runs.runs() == []


def test_visitor_sees_the_example_and_no_other_run(store, a_run):
    other = a_run()
    with acting(Caller(Role.VISITOR, "x")):
        assert [run.id for run in store.runs()] == [example.EXAMPLE_RUN]
        with pytest.raises(StudioError, match="There is no run"):
            store.run(other.id)


def test_resume_of_the_example_is_refused_with_the_reason(store):
    with pytest.raises(StudioError, match="hold only its adapter"):
        process.resume(store, store.runs()[0], max_steps=400)
    assert store.runs()[0].state().status == "finished"


def test_example_is_small_and_names_no_path_of_the_machine_that_trained_it():
    files = [path for path in example.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 4 * 2**20
    for path in files:
        if path.suffix != ".safetensors":
            text = path.read_text()
            assert not any(part in text for part in ("/home/", "/root", "/tmp", "/work")), path
