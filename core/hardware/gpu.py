"""GPUs of this machine and their free memory, read with nvidia-smi.

Asking CUDA itself would create a context in this process, which takes several hundred MiB of the GPU.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class GPUMemory:
    """Free and total memory of a GPU in bytes."""

    free: int
    total: int


def memory() -> GPUMemory | None:
    """Return the memory of the first GPU; None if there is no GPU or its driver does not answer."""
    found = list_memory()
    return found[0] if found else None


def list_memory() -> list[GPUMemory]:
    """Return the memory of every GPU that this process may use, in the order of CUDA_VISIBLE_DEVICES."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        output = subprocess.run(
            [tool, "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=10,
        ).stdout  # fmt: skip
        # nvidia-smi reports MiB.
        lines = [[int(number) * 2**20 for number in line.split(",")] for line in output.splitlines()]
        found = [GPUMemory(free, total) for free, total in lines]
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return []
    wanted = _wanted()
    if wanted is None or not all(name.isdecimal() and int(name) < len(found) for name in wanted):
        # GPUs named by UUID are not looked up: the GPUs of one machine are usually equal.
        return found
    return [found[int(name)] for name in wanted]


def names() -> list[str]:
    """Return the name in CUDA_VISIBLE_DEVICES of each GPU that this process may use, without asking the driver."""
    wanted = _wanted()
    count = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return [str(number) for number in range(count)] if wanted is None else wanted


def only(number: int) -> dict[str, str]:
    """Return environment variables for a process that shall use one GPU only.

    PyTorch's trainers use every GPU that is visible to them.

    Args:
        number: Index into `names()`.
    """
    visible = names()
    return {_VISIBLE: visible[number]} if visible else {}


@contextlib.contextmanager
def seeing_only(number: int) -> Iterator[None]:
    """Let this process see one GPU only, during the with statement.

    CUDA reads the variable when it is first used, so this process must not have used CUDA before. Processes that are
    started afterwards see all GPUs again.
    """
    before = os.environ.get(_VISIBLE)
    os.environ.update(only(number))
    try:
        yield
    finally:
        os.environ.pop(_VISIBLE, None)
        if before is not None:
            os.environ[_VISIBLE] = before


def _wanted() -> list[str] | None:
    given = os.environ.get(_VISIBLE)
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]
