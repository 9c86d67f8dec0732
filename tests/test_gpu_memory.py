import pytest

from core import gpu


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """A program in the place of the driver's, which prints what it is told."""

    def make(text: str, code: int = 0):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '%s' '{text}'\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return make


def test_free_and_total_come_in_bytes_of_the_first_card(tool):
    tool("79000, 81559\n1, 2\n")
    assert gpu.memory() == gpu.GPUMemory(79000 * 2**20, 81559 * 2**20)


@pytest.mark.parametrize(("text", "code"), [("", 9), ("No devices were found", 6), ("[N/A], [N/A]", 0)])
def test_a_driver_that_does_not_answer_is_no_gpu(tool, text, code):
    tool(text, code)
    assert gpu.memory() is None


def test_no_driver_is_no_gpu(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu.memory() is None
