"""Identity of a process: neither its pid, which is reused, nor its start by the wall clock, which jumps, is enough."""

from pathlib import Path

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity(pid: int) -> str | None:
    """Return a name of a living process that no other process of any boot has, or None if there is no such process.

    On Linux it joins the boot's id and the process's start in clock ticks since boot, which no change of the wall clock
    touches; elsewhere it is the start in seconds since the epoch.
    """
    try:
        if not _BOOT.exists():
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else f"{pid}@{process.create_time():.2f}"
        # The second field is the program's name in brackets, which may hold spaces and brackets itself; so count from
        # the last bracket: field 3 is the state, field 22 the start time (man 5 proc_pid_stat).
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        state, started = fields[0], fields[19]
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None
    # A zombie has ended; only its parent has not collected its exit status yet.
    return None if state in ("Z", "X") else f"{pid}@{_BOOT.read_text().strip()}+{started}"
