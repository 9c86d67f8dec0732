"""Background jobs, each in its own process: any page can watch one, and cancelling kills it.

A job can be killed at any moment, so its effect on disk must be all or nothing. It ends with the server that started
it; training, which outlives the server, uses core.runs.process instead. A thread per job reads the process's messages
("progress", "done", "failed") from a pipe.
"""

import multiprocessing
import os
import re
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
from core.system.process_limits import EXIT_REASONS, MEMORY_REASON, Limits, is_memory_error
from core.system.secret_masking import masked

Status = Literal["running", "done", "failed", "cancelled"]
# Callback for the share that is done, 0 to 1, and the current stage.
Progress = Callable[[float, str], None]
# A job may report after every row; more than ten reports per second of one stage would only cost time.
_PROGRESS_INTERVAL_SECONDS = 0.1
_MAX_ENDED_JOBS = 50
_NUMBER = re.compile(r"\d[\d.,]*")


def ignore_progress(share: float, stage: str) -> None:
    """Do nothing; the default of functions that report their progress."""


def part_of(progress: Progress, start: float, end: float) -> Progress:
    """Return a callback for a part of the work, which reports its shares between two shares of the whole."""
    return lambda share, stage: progress(start + (end - start) * share, stage)


def ignore_stage(text: str) -> None:
    """Do nothing; the default of functions that report their stages."""


@dataclass
class Job:
    """State of one job.

    Attributes:
        kind: What the job works on, to find a running one by ("open/<source>", "tokens/<dataset>").
        title: Description for the page.
        arguments: Positional arguments of the function.
        share: Fraction that is done, 0 to 1.
        stage: Description of the current stage.
        result: Return value of the function.
        error: Why there is no result, for the user.
        began: Start on the monotonic clock.
        seconds: Duration; 0 until the job has ended.
        ended: Set once the job has ended and all other fields are final.
    """

    id: int
    kind: str
    title: str
    arguments: tuple[Any, ...] = ()
    status: Status = "running"
    share: float = 0.0
    stage: str = "Starting"
    result: Any = None
    error: str = ""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """All jobs of one server."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._processes: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._next = 1

    def start(
        self, kind: str, title: str, work: Callable[..., Any], *arguments: Any, limits: Limits | None = None,
        **named: Any,
    ) -> Job:  # fmt: skip
        """Start a job, or return the one of the same kind that is still running.

        Args:
            kind: What the job works on.
            title: Description for the page.
            work: Function that is called as `work(*arguments, **named, progress=…)` in the job's process; `progress`
                takes the fraction that is done and a description.
            arguments: Positional arguments.
            limits: Limits of the process, for work on untrusted files.
            named: Keyword arguments.
        """
        with self._lock:
            if running := self.running(kind):
                return running
            job = Job(self._next, kind, title, arguments)
            self._next += 1
            reader, writer = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.get_context("spawn").Process(
                target=_run, args=(writer, work, arguments, named, limits), name=f"studio-{kind}"
            )
            process.start()
            # With the server's copy closed, the pipe ends when the process ends.
            writer.close()
            self._jobs[job.id], self._processes[job.id] = job, process
            for old in [j for j in self._jobs.values() if j.ended.is_set()][:-_MAX_ENDED_JOBS]:
                del self._jobs[old.id]
        # The thread reads all messages, also if no page watches: a full pipe would block the job.
        threading.Thread(target=self._watch, args=(job, process, reader, limits is not None), daemon=True).start()
        return job

    def find(self, number: int | None) -> Job | None:
        """Return the job of an id; None if there is none or it was forgotten."""
        return self._jobs.get(number or 0)

    def running(self, kind: str) -> Job | None:
        """Return the newest job of `all_running`; None if there is none."""
        found = self.all_running(kind)
        return found[-1] if found else None

    def all_running(self, kind: str) -> list[Job]:
        """Return the running jobs whose kind is `kind` or begins with it and a slash, the oldest first."""
        # A copy, because another thread may start a job meanwhile. The lock is not taken here: `start` already holds it
        # when it calls `running`.
        jobs = list(self._jobs.values())
        return [j for j in jobs if not j.ended.is_set() and f"{j.kind}/".startswith(f"{kind}/")]

    def cancel(self, job: Job) -> None:
        """Kill the job's process and its children."""
        with self._lock:
            if job.ended.is_set():
                return
            job.status = "cancelled"
            _kill(self._processes[job.id])

    def close(self) -> None:
        """Cancel all running jobs and wait until they have ended."""
        for job in list(self._jobs.values()):
            self.cancel(job)
        for job in list(self._jobs.values()):
            job.ended.wait(10)

    def _watch(self, job: Job, process: Any, pipe: Connection, is_limited: bool) -> None:
        # An empty error means that the process ended without a last message.
        error = ""
        outcome: Status = "failed"
        try:
            while True:
                kind, *content = pipe.recv()
                if kind == "progress":
                    job.share, job.stage = content
                elif kind == "done":
                    outcome, job.result = "done", content[0]
                else:
                    error = content[0]
        except EOFError:
            pass
        process.join()
        if outcome == "failed" and not error:
            error = f"{job.title} failed: {_exit_reason(process.exitcode, is_limited)}."
        with self._lock:
            process.close()
            del self._processes[job.id]
            pipe.close()
            job.seconds = time.monotonic() - job.began
            if job.status != "cancelled":
                job.status = outcome
                job.error = error
                job.share = 1.0 if outcome == "done" else job.share
            job.ended.set()


def run_limited(title: str, work: Callable[..., Any], *arguments: Any, limits: Limits) -> Any:
    """Run a function on an untrusted file in a process of its own, wait for it, and return its result.

    Args:
        title: Description of the work.
        work: Function that is called as `work(*arguments, progress=…)`, as by `Jobs.start`.
        arguments: Its arguments, which are pickled.
        limits: Limits of the process.

    Raises:
        StudioError: The function failed or reached a limit.
    """
    job = Jobs().start("limited", title, work, *arguments, limits=limits)
    job.ended.wait()
    if job.status != "done":
        raise StudioError(job.error)
    return job.result


def _exit_reason(code: int, is_limited: bool) -> str:
    """Return why a process ended without a message; the limits of a process explain some signals."""
    if is_limited and code in EXIT_REASONS:
        return EXIT_REASONS[code]
    return f"the process ended without reporting a result (exit code {code}): it was killed, or memory ran out"


def _kill(process: Any) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        # The process has not called setsid yet, so it leads no group and has no children.
        process.kill()


def _run(
    pipe: Connection, work: Callable[..., Any], arguments: tuple, named: dict[str, Any], limits: Limits | None
) -> None:  # fmt: skip
    """Run the function in the job's process, and send its outcome."""
    # A process group of its own, so that cancelling also kills what the job started.
    os.setsid()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with_parent, args=(parent.sentinel,), daemon=True).start()
    last, reported = 0.0, ""

    def report(share: float, stage: str) -> None:
        nonlocal last, reported
        # A new stage may be long and report nothing more until its end; the numbers in its text count the same stage.
        words = _NUMBER.sub("", stage)
        if words != reported or time.monotonic() - last >= _PROGRESS_INTERVAL_SECONDS:
            last, reported = time.monotonic(), words
            pipe.send(("progress", min(1.0, max(0.0, share)), stage))

    try:
        if limits:
            limits.apply()
        pipe.send(("done", work(*arguments, **named, progress=report)))
    except StudioError as error:
        pipe.send(("failed", str(error)))
    except ValidationError as error:
        pipe.send(("failed", sentences(error)))
    except Exception as error:
        if limits and is_memory_error(error):
            pipe.send(("failed", f"The file could not be read: {MEMORY_REASON}."))
            return
        print(masked(traceback.format_exc()), file=sys.stderr)
        pipe.send(("failed", f"{type(error).__name__} in the studio itself. The server's log has the details."))


def _exit_with_parent(sentinel: int) -> None:
    wait([sentinel])
    os.killpg(0, signal.SIGKILL)
