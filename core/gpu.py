"""How much memory of the GPU is free, asked of the driver's own tool: a CUDA context here would take some of it."""

import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class GPUMemory:
    """Bytes of the first GPU."""

    free: int
    total: int


def memory() -> GPUMemory | None:
    """None where there is no GPU, or none whose driver answers."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        said = subprocess.run(
            [tool, "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=10,
        )  # fmt: skip
        free, total = (int(number) * 2**20 for number in said.stdout.splitlines()[0].split(","))
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError):
        return None
    return GPUMemory(free, total)
