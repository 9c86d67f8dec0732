"""Memory and load of the machine that trains: the GPU's where there is one, else this process's and the cores'."""

import contextlib
from typing import Any

import psutil


class Gauge:
    """Read once a step; costs microseconds."""

    def __init__(self) -> None:
        import torch

        self._gpu = torch.cuda.is_available()
        self._process = psutil.Process()
        psutil.cpu_percent(None)  # the first reading is since the last one: this begins it

    def read(self) -> dict[str, Any]:
        """memory_gib: the most that was held so far on a GPU, what the process holds now without one; use: 0 to 100."""
        if not self._gpu:
            memory = self._process.memory_info().rss / 2**30
            return {"memory_gib": round(memory, 3), "use": psutil.cpu_percent(None)}
        import torch

        found: dict[str, Any] = {"memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 3)}
        # the driver's own library is not everywhere; without it there is no figure of use
        with contextlib.suppress(ImportError, RuntimeError):
            found["use"] = float(torch.cuda.utilization())
        return found
