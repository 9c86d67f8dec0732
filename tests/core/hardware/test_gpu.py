"""GPUs as the driver's program reports them, and drivers that fail."""

import os

import pytest

from core.hardware import gpu


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Replace nvidia-smi by a program that prints a given text."""

    def make(text: str, code: int = 0):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '%s' '{text}'\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return make


def test_memory_is_of_first_gpu_in_bytes(tool):
    tool("79000, 81559\n1, 2\n")
    assert gpu.memory() == gpu.GPUMemory(79000 * 2**20, 81559 * 2**20)


@pytest.mark.parametrize(("text", "code"), [("", 9), ("No devices were found", 6), ("[N/A], [N/A]", 0)])
def test_unresponsive_driver_counts_as_no_gpu(tool, text, code):
    tool(text, code)
    assert gpu.memory() is None


def test_cards_follow_cuda_visible_devices(tool, monkeypatch):
    tool("1, 10\n2, 10\n3, 10\n")
    assert [memory.free for memory in gpu.list_memory()] == [2**20, 2 * 2**20, 3 * 2**20]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert [memory.free for memory in gpu.list_memory()] == [3 * 2**20, 2**20]
    assert gpu.names() == ["2", "0"]
    assert gpu.only(1) == {"CUDA_VISIBLE_DEVICES": "0"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5a1e,GPU-77b0")
    assert len(gpu.list_memory()) == 3
    assert gpu.names() == ["GPU-5a1e", "GPU-77b0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu.memory() is None
    assert gpu.only(0) == {}


@pytest.mark.parametrize("before", ["3,1", None])
def test_seeing_only_restores_environment(monkeypatch, before):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    monkeypatch.setattr(gpu, "names", lambda: ["3", "1"])
    with gpu.seeing_only(0):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before


def test_missing_driver_counts_as_no_gpu(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu.memory() is None
