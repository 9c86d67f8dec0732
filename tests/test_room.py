import os

import pytest
from transformers import LlamaConfig

from core import gpu
from core.chat import room
from core.errors import StudioError
from core.runs.config import QLoRAConfig

GIB = 2**30


@pytest.fixture
def seven(runs):
    """A model folder of Llama-2-7B's shape, without weights."""
    LlamaConfig(vocab_size=32000).save_pretrained(runs.settings.models_dir / "seven")
    return QLoRAConfig(model="seven", batch_size=4, max_length=512)


@pytest.fixture
def card(monkeypatch):
    """A GPU of so many GiB, as many of them free."""

    def make(total: float, free: float | None = None):
        monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(int((free or total) * GIB), int(total * GIB)))

    return make


@pytest.fixture
def running(a_run, seven):
    """A run of the 7B shape; this process stands for its worker."""

    def make(status="running"):
        run = a_run(config=seven, status=status, ended=None)
        run.save_state(run.saved_state().with_process(os.getpid()))
        return run

    return make


def test_a_chat_loads_beside_a_run_only_where_both_fit(runs, seven, running, card):
    card(10)
    room.check_room(runs, seven)  # nothing trains
    run = running()
    with pytest.raises(StudioError, match=f"The run {run.id} trains on this GPU and comes first: .* of its 10 GiB"):
        room.check_room(runs, seven)
    card(80, free=10)  # what the run holds already is not counted twice
    room.check_room(runs, seven)


def test_beside_a_run_of_unknown_need_no_chat_loads(runs, seven, running, card):
    running()
    (runs.settings.models_dir / "seven" / "config.json").write_text('{"model_type": "bloom"}')
    card(80)
    with pytest.raises(StudioError, match="an unknown share of its 80 GiB"):
        room.check_room(runs, seven)


def test_without_a_gpu_nobody_is_in_the_way(runs, seven, running, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: None)
    running()
    room.check_room(runs, seven)
    assert not room.in_the_way(runs.settings, seven)
