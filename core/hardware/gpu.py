"""How many GPUs there are and how much of their memory is free, asked of the driver's own tool: a CUDA context here
would take some of it."""

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
    """Bytes of a GPU."""

    free: int
    total: int


def memory() -> GPUMemory | None:
    """Of the first GPU. None where there is none, or none whose driver answers."""
    there = cards()
    return there[0] if there else None


def cards() -> list[GPUMemory]:
    """Of every GPU that this process may use."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        said = subprocess.run(
            [tool, "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=10,
        )  # fmt: skip
        lines = [[int(number) * 2**20 for number in line.split(",")] for line in said.stdout.splitlines()]
        found = [GPUMemory(free, total) for free, total in lines]
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return []
    wanted = _wanted()
    if wanted is None or not all(name.isdecimal() and int(name) < len(found) for name in wanted):
        return found  # a GPU that goes by its UUID is not looked for: machines have equal ones
    return [found[int(name)] for name in wanted]


def names() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each GPU that this process may use, without asking the driver."""
    wanted = _wanted()
    there = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return [str(number) for number in range(there)] if wanted is None else wanted


def only(number: int) -> dict[str, str]:
    """The environment of a process that is to see one of the GPUs: PyTorch and its trainers take all they see."""
    there = names()
    return {_VISIBLE: there[number]} if there else {}


@contextlib.contextmanager
def seeing_only(number: int) -> Iterator[None]:
    """The same for this process, which must not have asked CUDA yet; processes that it starts later see all again."""
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
