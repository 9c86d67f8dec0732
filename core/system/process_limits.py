"""Limits of a process that reads what somebody uploaded: of memory, time and what it may write.

A zip bomb, a file with lying lengths, or a knot of brackets ends that process and nothing else.
"""

import resource
import signal
from dataclasses import dataclass

import psutil

SAID = {
    -signal.SIGXCPU: "it took more processor time than reading a file may (STUDIO_QUOTA_PARSE_SECONDS)",
    -signal.SIGXFSZ: "it unfolds to more than a file may (STUDIO_QUOTA_PARSE_DISK_GIB)",
    -signal.SIGSEGV: "the file is damaged, and its reader crashed on it",
    -signal.SIGBUS: "the file is damaged, and its reader crashed on it",
    -signal.SIGABRT: "the file is damaged, or asks for more memory than reading a file may take "
    "(STUDIO_QUOTA_PARSE_GIB)",
}
MEMORY = "it asks for more memory than reading a file may take (STUDIO_QUOTA_PARSE_GIB)"


@dataclass(frozen=True)
class Limits:
    """Attributes: memory: bytes beyond what the process has at its start; seconds: of processor time; written: bytes
    of one file."""

    memory: int
    seconds: int
    written: int

    def apply(self) -> None:
        """Hold the present process to them; for good, and its children too."""
        now = psutil.Process().memory_info().vms  # of threads and libraries: reserved, not used
        _lower(resource.RLIMIT_AS, now + self.memory)
        _lower(resource.RLIMIT_CPU, self.seconds)
        _lower(resource.RLIMIT_FSIZE, self.written)
        _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    ours = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (ours, ours))


def size_limit() -> int | None:
    """Return how many bytes this process may take from one file, or None when it runs without limits."""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if soft == resource.RLIM_INFINITY else soft


def is_memory_error(error: BaseException) -> bool:
    """Whether an error says that memory ran out, in the words of whichever library met it."""
    named = {kind.__name__ for kind in type(error).__mro__}
    return bool(named & {"MemoryError", "ArrowMemoryError", "OutOfMemoryException"}) or "bad_alloc" in str(error)
