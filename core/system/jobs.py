"""Work that takes a while, each piece in a process of its own: watched by any page, cancelled by killing it.

What a job does must be all or nothing on disk, since it can be killed at any moment. It is not for training, which
outlives the server: a job ends with the server that started it.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from pydantic import ValidationError

from core.errors import StudioError, sentences
from core.system.process_limits import MEMORY, SAID, Limits, is_memory_error
from core.system.secret_masking import masked

Status = Literal["running", "done", "failed", "cancelled"]
_TOLD_EVERY = 0.1  # seconds
_KEPT = 50  # ended jobs that are remembered


@dataclass
class Job:
    """One piece of work.

    Attributes:
        kind: what it is about, for whoever looks for a running one ("open", "tokens/<data set>").
        share: how much is done, 0 to 1.
        result: what the function returned; error: why it did not.
    """

    id: int
    kind: str
    title: str
    status: Status = "running"
    share: float = 0.0
    words: str = "Starting"
    result: Any = None
    error: str = ""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """The jobs of one server."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._processes: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._next = 1

    def start(
        self, kind: str, title: str, work: Callable[..., Any], *arguments: Any, limits: Limits | None = None,
        **named: Any,
    ) -> Job:  # fmt: skip
        """Run `work(*arguments, **named, progress=…)` in a process of its own; `progress` takes a share and words.

        A job of the same kind that is still running is returned instead.

        Args:
            limits: what the process is held to, for work on files from outside.
        """
        with self._lock:
            if running := self.running(kind):
                return running
            job = Job(self._next, kind, title)
            self._next += 1
            ours, theirs = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.get_context("spawn").Process(
                target=_run, args=(theirs, work, arguments, named, limits), name=f"studio-{kind}"
            )
            process.start()
            theirs.close()
            self._jobs[job.id], self._processes[job.id] = job, process
            for old in [j for j in self._jobs.values() if j.ended.is_set()][:-_KEPT]:
                del self._jobs[old.id]
        # Drained here, whether or not anybody looks: a full pipe would stop the job.
        threading.Thread(target=self._watch, args=(job, process, ours), daemon=True).start()
        return job

    def find(self, number: int | None) -> Job | None:
        return self._jobs.get(number or 0)

    def running(self, kind: str) -> Job | None:
        """The newest running job whose kind is `kind` or begins with it and a slash."""
        found = [j for j in self._jobs.values() if not j.ended.is_set() and f"{j.kind}/".startswith(f"{kind}/")]
        return found[-1] if found else None

    def cancel(self, job: Job) -> None:
        """Kill the job's process and all that it started."""
        with self._lock:
            if job.ended.is_set():
                return
            job.status = "cancelled"
            _kill(self._processes[job.id])

    def close(self) -> None:
        """Cancel what is running and wait for its end."""
        for job in list(self._jobs.values()):
            self.cancel(job)
        for job in list(self._jobs.values()):
            job.ended.wait(10)

    def _watch(self, job: Job, process: Any, pipe: Connection) -> None:
        said = "it ended without a word: it was killed, or the memory ran out"
        outcome: Status = "failed"
        try:
            while True:
                kind, *content = pipe.recv()
                if kind == "told":
                    job.share, job.words = content
                elif kind == "done":
                    outcome, job.result = "done", content[0]
                else:
                    said = content[0]
        except EOFError:
            pass
        process.join()
        said = SAID.get(process.exitcode, said) if outcome == "failed" else said
        with self._lock:
            process.close()
            del self._processes[job.id]
            pipe.close()
            job.seconds = time.monotonic() - job.began
            if job.status != "cancelled":
                job.status = outcome
                job.error = "" if outcome == "done" else said
                job.share = 1.0 if outcome == "done" else job.share
            job.ended.set()


def _kill(process: Any) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # not yet the leader of a group of its own
        process.kill()


def _run(
    pipe: Connection, work: Callable[..., Any], arguments: tuple, named: dict[str, Any], limits: Limits | None
) -> None:  # fmt: skip
    """Runs in the job's process."""
    os.setsid()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    last = 0.0

    def told(share: float, words: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _TOLD_EVERY:
            last = time.monotonic()
            pipe.send(("told", min(1.0, max(0.0, share)), words))

    try:
        if limits:
            limits.apply()
        pipe.send(("done", work(*arguments, **named, progress=told)))
    except StudioError as error:
        pipe.send(("failed", str(error)))
    except ValidationError as error:
        pipe.send(("failed", sentences(error)))
    except Exception as error:
        if limits and is_memory_error(error):
            pipe.send(("failed", f"The file could not be read: {MEMORY}."))
            return
        print(masked(traceback.format_exc()), file=sys.stderr)
        pipe.send(("failed", f"{type(error).__name__} in the studio itself. The server's log has the details."))


def _die_with(sentinel: int) -> None:
    wait([sentinel])
    os.killpg(0, signal.SIGKILL)
