"""Starts the ranks of a run on several GPUs, waits for them, and ends them all when one fails.

The process that does this is the worker that the page knows. Each rank is a process of its own that sees one GPU and
has two pipes: one that ends when the worker does, at which the rank ends too, and one to say how it went. A pipe that
ends with nothing said is a rank that died.
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
from core.settings import Settings

_PATIENCE = 5.0  # seconds that the cause has to arrive in when some ranks only say that another is gone


@dataclass(frozen=True)
class Said:
    """How a rank ended. `lost`: it knows no more than that another one is gone."""

    status: str
    cause: str
    lost: bool = False

    def send(self, pipe: int) -> None:
        os.write(pipe, json.dumps([self.status, self.cause, self.lost]).encode())

    @classmethod
    def read(cls, text: bytes) -> Self | None:
        try:
            return cls(*json.loads(text))
        except ValueError:
            return None


class _Rank:
    def __init__(self, run: Run, number: int, count: int, meeting: Path):
        self.number = number
        self.pipe, writing = os.pipe()
        self.text = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "core.train.rank_process", str(run.folder), str(number), str(count), str(meeting),
             str(writing)],
            stdin=subprocess.PIPE, env=os.environ | _environment(number, count), pass_fds=[writing],
        )  # fmt: skip
        os.close(writing)

    def said(self) -> Said:
        """When its pipe has ended."""
        code = self.process.wait()
        if said := Said.read(self.text):
            return said
        how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"code {code}"
        return Said("failed", f"The process of GPU {self.number + 1} ended with {how} and said nothing of it. The "
                              "whole story may be in worker.log of the run. Resume it: it goes on from its last "
                              "checkpoint.")  # fmt: skip

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        os.close(self.pipe)


def _environment(number: int, count: int) -> dict[str, str]:
    """One GPU to see, and a share of the cores."""
    threads = str(max(1, (os.cpu_count() or 1) // count))
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)} | gpu.only(number)


def lead(settings: Settings, run: Run, config: QLoRAConfig) -> tuple[str, str]:
    """Train the run on `config.gpus` GPUs; its last status, and why it ended so."""
    if problem := checks.gpus_problem(config):
        return "failed", problem
    signal.signal(signal.SIGTERM, lambda *_: run.request_stop())
    with tempfile.TemporaryDirectory() as place:
        ranks: list[_Rank] = []
        try:
            for number in range(config.gpus):
                ranks.append(_Rank(run, number, config.gpus, Path(place) / "meeting"))
            return _outcome(ranks)
        finally:
            for rank in ranks:
                rank.end()


def _outcome(ranks: list[_Rank]) -> tuple[str, str]:
    """What the first rank says when all have ended well, else the cause, as soon as one is known."""
    said: dict[int, Said] = {}
    deadline = None
    with selectors.DefaultSelector() as waiting:
        for rank in ranks:
            waiting.register(rank.pipe, selectors.EVENT_READ, rank)
        while waiting.get_map():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            for key, _ in waiting.select(left):
                rank: Any = key.data
                if text := os.read(rank.pipe, 65536):
                    rank.text += text
                    continue
                waiting.unregister(rank.pipe)
                said[rank.number] = found = rank.said()
                if found.status == "failed" and not found.lost:
                    return found.status, found.cause
                if found.status == "failed" and deadline is None:
                    deadline = time.monotonic() + _PATIENCE
    failed = next((found for found in said.values() if found.status == "failed"), None)
    end = failed or said[0]
    return end.status, end.cause
