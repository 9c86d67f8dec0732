"""Launcher of the ranks of a run on several GPUs; it waits for them, and ends all when one fails.

This runs in the worker process, whose pid is in state.json. Each rank is a child process that sees one GPU, and has
two pipes to the worker:

    worker -> rank    the rank's stdin: it ends when the worker dies, and the rank then ends itself
    rank -> worker    the result, one JSON list; if a rank closes it without sending a result, it crashed

A rank that fails usually makes the others fail too. Their errors only say that a rank is gone, so the first other error
is reported and ends the run; a lost rank is reported only if no other error arrives within `_CAUSE_GRACE_SECONDS`.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from core.hardware import gpu
from core.runs import checks
from core.runs.config import QLoRAConfig
from core.runs.store import Run

# Seconds to wait for the cause after a rank has reported that another one is gone.
_CAUSE_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class RankResult:
    """Result of a rank, sent through its pipe.

    Attributes:
        status: "finished", "stopped" or "failed".
        cause: Why it ended so, as a sentence; empty for a run that went to its end.
        is_lost: Whether the rank failed only because another one is gone.
    """

    status: str
    cause: str
    is_lost: bool = False

    def send(self, pipe: int) -> None:
        """Write the result to a pipe's file descriptor."""
        os.write(pipe, json.dumps([self.status, self.cause, self.is_lost]).encode())

    @classmethod
    def parse(cls, text: bytes) -> Self | None:
        """Return the result that a pipe carried; None if it is missing or incomplete."""
        try:
            return cls(*json.loads(text))
        except ValueError:
            return None


class _RankProcess:
    """Child process of one rank, and what its pipe has carried so far."""

    def __init__(self, run: Run, rank: int, world_size: int, rendezvous: Path):
        self.rank = rank
        self.pipe, write_end = os.pipe()
        self.text = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "core.train.rank_process", str(run.folder), str(rank), str(world_size),
             str(rendezvous), str(write_end)],
            stdin=subprocess.PIPE, env=os.environ | _environment(rank, world_size), pass_fds=[write_end],
        )  # fmt: skip
        # The rank must hold the only write end, so that the pipe ends when the rank does.
        os.close(write_end)

    def result(self) -> RankResult:
        """Return the rank's result after its pipe has ended; a rank that sent none crashed."""
        code = self.process.wait()
        if result := RankResult.parse(self.text):
            return result
        how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"code {code}"
        return RankResult(
            "failed",
            f"The process of GPU {self.rank + 1} ended with {how} and gave no reason. See worker.log of the run, then "
            "resume it: it continues from its last checkpoint.",
        )

    def end(self) -> None:
        """Kill the process if it still runs, and close the pipes."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        os.close(self.pipe)


def _environment(rank: int, world_size: int) -> dict[str, str]:
    """Return environment variables that give a rank one GPU and its share of the cores."""
    threads = str(max(1, (os.cpu_count() or 1) // world_size))
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)} | gpu.only(rank)


def launch_ranks(run: Run, config: QLoRAConfig) -> tuple[str, str]:
    """Train a run on `config.gpus` GPUs.

    Returns:
        The run's last status, and its cause.
    """
    if problem := checks.gpus_problem(config):
        return "failed", problem
    # The main rank finds the stop request after its step, and all ranks stop at the same one.
    signal.signal(signal.SIGTERM, lambda *_: run.request_stop())
    with tempfile.TemporaryDirectory() as folder:
        ranks: list[_RankProcess] = []
        try:
            for rank in range(config.gpus):
                ranks.append(_RankProcess(run, rank, config.gpus, Path(folder) / "rendezvous"))
            return _wait_for_outcome(ranks)
        finally:
            for process in ranks:
                process.end()


def _wait_for_outcome(ranks: list[_RankProcess]) -> tuple[str, str]:
    """Return the main rank's result when all have ended well, else the cause of a failure as soon as it is known."""
    results: dict[int, RankResult] = {}
    deadline = None
    with selectors.DefaultSelector() as pipes:
        for rank in ranks:
            pipes.register(rank.pipe, selectors.EVENT_READ, rank)
        while pipes.get_map():
            seconds_left = None if deadline is None else deadline - time.monotonic()
            if seconds_left is not None and seconds_left <= 0:
                break
            for key, _ in pipes.select(seconds_left):
                rank: Any = key.data
                if text := os.read(rank.pipe, 65536):
                    rank.text += text
                    continue
                # An empty read means that the pipe has ended.
                pipes.unregister(rank.pipe)
                results[rank.rank] = result = rank.result()
                if result.status == "failed" and not result.is_lost:
                    return result.status, result.cause
                if result.status == "failed" and deadline is None:
                    deadline = time.monotonic() + _CAUSE_GRACE_SECONDS
    failed = next((result for result in results.values() if result.status == "failed"), None)
    outcome = failed or results[0]
    return outcome.status, outcome.cause
