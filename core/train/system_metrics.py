"""Memory and utilization of the machine that trains: of the GPU, or of process and CPU."""

import contextlib
from typing import Any

import psutil


class SystemMetrics:
    """Reader of memory and utilization, called once per step; a reading takes microseconds."""

    def __init__(self) -> None:
        import torch

        self._has_gpu = torch.cuda.is_available()
        self._process = psutil.Process()
        # cpu_percent reports the time since the last call, so the first call only starts the measurement.
        psutil.cpu_percent(None)

    def read(self) -> dict[str, Any]:
        """Return `memory_gib` and, where known, `utilization` (percent).

        On a GPU, memory is the peak of torch's allocator so far; without one, what the process holds now.
        """
        if not self._has_gpu:
            memory = self._process.memory_info().rss / 2**30
            return {"memory_gib": round(memory, 3), "utilization": psutil.cpu_percent(None)}
        import torch

        metrics: dict[str, Any] = {"memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 3)}
        # Utilization needs the driver's management library, which is not installed everywhere.
        with contextlib.suppress(ImportError, RuntimeError):
            metrics["utilization"] = float(torch.cuda.utilization())
        return metrics
