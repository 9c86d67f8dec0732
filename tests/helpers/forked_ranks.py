"""Worker as in tests.helpers.two_gpus, but its ranks are forks of it, which saves their imports.

It is to be a fork itself, of a process that has the training libraries loaded.
"""

import os
import sys
from types import SimpleNamespace

import torch

from core.runs import checks
from core.train import rank_launcher
from core.train.worker import main
from tests.helpers.fork_server import run_and_exit


class ForkedRank:
    """A fork that runs `python -m MODULE ARGUMENTS`, with the part of `subprocess.Popen` that the launcher uses."""

    def __init__(self, command: list[str], stdin: int, env: dict[str, str], pass_fds: list[int]):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(reading, 0)
            for number in set(range(3, 256)) - set(pass_fds):
                os.closerange(number, number + 1)
            # A process of its own would take the number from the variables.
            torch.set_num_threads(int(env["OMP_NUM_THREADS"]))
            os.environ.clear()
            os.environ.update(env)
            run_and_exit(command[2], command[3:])
        os.close(reading)
        self.stdin = os.fdopen(writing, "wb")
        self._code: int | None = None

    def wait(self) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code

    def kill(self) -> None:
        if self._code is None:
            os.kill(self.pid, 9)


if __name__ == "__main__":
    checks.gpus_problem = lambda config: None
    rank_launcher.subprocess = SimpleNamespace(Popen=ForkedRank, PIPE=None)
    sys.exit(main(sys.argv[1:]))
