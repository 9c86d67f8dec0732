"""Memory, CPU time and file size limits of a process that reads an uploaded file.

The limits are POSIX rlimits, which the process sets on itself and cannot raise again. A zip bomb, a file with wrong
lengths, or deeply nested brackets then end that process and nothing else.
"""

import resource
import signal
from dataclasses import dataclass

import psutil

# Why a signal ended a process with limits, by its exit code, as the end of a sentence.
EXIT_REASONS = {
    -signal.SIGXCPU: "the file took more CPU time than reading one may (STUDIO_QUOTA_PARSE_SECONDS)",
    -signal.SIGXFSZ: "the file unpacks to more than it may (STUDIO_QUOTA_PARSE_DISK_GIB)",
    -signal.SIGSEGV: "the file is damaged, and its reader crashed on it",
    -signal.SIGBUS: "the file is damaged, and its reader crashed on it",
    -signal.SIGABRT: "the file is damaged, or asks for more memory than reading a file may take "
    "(STUDIO_QUOTA_PARSE_GIB)",
}
# At the hard limit of CPU time, Linux kills with a signal that gives no reason; the soft limit is reached first.
_GRACE_SECONDS = 5
MEMORY_REASON = "it asks for more memory than reading a file may take (STUDIO_QUOTA_PARSE_GIB)"


@dataclass(frozen=True)
class Limits:
    """Limits of one process.

    Attributes:
        memory: Bytes of address space beyond what the process has when the limits are applied.
        seconds: CPU time in seconds.
        written: Maximum bytes of one file that the process writes.
    """

    memory: int
    seconds: int
    written: int

    def apply(self) -> None:
        """Apply the limits to this process and its future children, for good."""
        # RLIMIT_AS counts address space, most of which threads and libraries reserve without using it.
        now = psutil.Process().memory_info().vms
        _lower(resource.RLIMIT_AS, now + self.memory)
        _lower(resource.RLIMIT_CPU, self.seconds, self.seconds + _GRACE_SECONDS)
        _lower(resource.RLIMIT_FSIZE, self.written)
        # A crash must not write a core file, which could hold other users' data.
        _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit; without `hard`, the soft limit is also the hard one."""
    _, present = resource.getrlimit(kind)
    # A hard limit that was set from outside can only be lowered.
    limits = [one if present == resource.RLIM_INFINITY else min(one, present) for one in (soft, hard or soft)]
    resource.setrlimit(kind, (limits[0], limits[1]))


def size_limit() -> int | None:
    """Return how many bytes this process may unpack from one file, or None if it runs without limits."""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if soft == resource.RLIM_INFINITY else soft


def is_memory_error(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, whichever library raised it."""
    named = {kind.__name__ for kind in type(error).__mro__}
    kinds = {"MemoryError", "ArrowMemoryError", "OutOfMemoryException", "OutOfMemoryError"}
    return bool(named & kinds) or any(text in str(error) for text in ("bad_alloc", "can't allocate memory"))
