"""Memory, CPU time and file size limits of a process that reads an uploaded file.

The limits are POSIX rlimits, which the process sets on itself and cannot raise again. A zip bomb, a file with wrong
lengths, or deeply nested brackets then end that process and nothing else.
"""

import resource
import signal
from dataclasses import dataclass

import psutil

# Why a signal ended a process, by its exit code.
EXIT_REASONS = {
    -signal.SIGXCPU: "it took more CPU time than reading a file may (STUDIO_QUOTA_PARSE_SECONDS)",
    -signal.SIGXFSZ: "it unfolds to more than a file may (STUDIO_QUOTA_PARSE_DISK_GIB)",
    -signal.SIGSEGV: "the file is damaged, and its reader crashed on it",
    -signal.SIGBUS: "the file is damaged, and its reader crashed on it",
    -signal.SIGABRT: "the file is damaged, or asks for more memory than reading a file may take "
    "(STUDIO_QUOTA_PARSE_GIB)",
}
# At the hard limit of CPU time, Linux kills with a signal that gives no reason; the soft one comes first.
_GRACE_SECONDS = 5
MEMORY_REASON = "it asks for more memory than reading a file may take (STUDIO_QUOTA_PARSE_GIB)"


@dataclass(frozen=True)
class Limits:
    """Limits of one process.

    Attributes:
        memory: Bytes of address space beyond what the process has when the limits are applied.
        seconds: CPU time.
        written: Bytes of one file that it writes.
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


def _lower(kind: int, limit: int, last: int | None = None) -> None:
    """Lower a limit; `last` is the hard limit, if it is another one."""
    _, hard = resource.getrlimit(kind)
    # A hard limit that was set from outside can only be lowered.
    soft, last = (one if hard == resource.RLIM_INFINITY else min(one, hard) for one in (limit, last or limit))
    resource.setrlimit(kind, (soft, last))


def size_limit() -> int | None:
    """Return how many bytes this process may unpack from one file, or None if it runs without limits."""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if soft == resource.RLIM_INFINITY else soft


def is_memory_error(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, whichever library raised it."""
    named = {kind.__name__ for kind in type(error).__mro__}
    kinds = {"MemoryError", "ArrowMemoryError", "OutOfMemoryException", "OutOfMemoryError"}
    return bool(named & kinds) or any(text in str(error) for text in ("bad_alloc", "can't allocate memory"))
