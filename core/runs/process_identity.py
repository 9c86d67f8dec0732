"""Which process is meant: a pid alone may belong to another program by now, and a wall clock may jump."""

from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity(pid: int) -> str | None:
    """A name that no other process of any boot has, or None when there is no such living process.

    On Linux it is the boot's id and the process's start in clock ticks since then, which no change of the wall clock
    touches; elsewhere the start in seconds since the epoch.
    """
    try:
        if not _BOOT.exists():
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else f"{pid}@{process.create_time():.2f}"
        # fields after the name, which stands in brackets and may hold anything; man 5 proc_pid_stat, fields 3 and 22
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        state, started = fields[0], fields[19]
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None
    return None if state in ("Z", "X") else f"{pid}@{_BOOT.read_text().strip()}+{started}"


class Worked(BaseModel):
    """What a state says of the process that works on it."""

    pid: int | None = None
    process: str | None = None  # `identity` of the worker

    def with_process(self, pid: int) -> Self:
        return self.model_copy(update={"pid": pid, "process": identity(pid)})

    def process_lives(self) -> bool:
        return self.pid is not None and self.process is not None and identity(self.pid) == self.process
