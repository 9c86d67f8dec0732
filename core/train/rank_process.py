"""Process of one rank: `python -m core.train.rank_process RUN_DIR RANK WORLD_SIZE RENDEZVOUS PIPE`.

core.train.rank_launcher starts it and reads its result from PIPE, a file descriptor. It ends when its standard input
ends: then the worker that started it is gone. It is a module of its own because it imports the worker, which imports
the launcher.
"""

import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from core.errors import StudioError
from core.runs.store import Run
from core.settings import Settings
from core.system.fast_imports import disable_compiler
from core.train import worker
from core.train.distributed import RankGroup, RankLostError
from core.train.failure_messages import describe_failure
from core.train.rank_launcher import RankResult


def main(arguments: list[str]) -> int:
    """Train as one rank, send the result, and return the exit code."""
    folder, rank, world_size, rendezvous, pipe = arguments
    disable_compiler()
    # The worker receives SIGTERM and writes a stop request, which all ranks obey at the same step.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_worker, daemon=True).start()
    run, ranks = Run(Path(folder)), RankGroup(int(rank), int(world_size))
    result = _train(run, ranks, Path(rendezvous))
    result.send(int(pipe))
    if result.status == "failed":
        sys.stdout.flush()
        sys.stderr.flush()
        # Skip the exit handlers of libraries: they may wait for a rank that is gone.
        os._exit(1)
    ranks.leave()
    return 0


def _train(run: Run, ranks: RankGroup, rendezvous: Path) -> RankResult:
    """Train, and turn whatever is raised into a result."""
    try:
        return RankResult(*worker.train(Settings(home=run.folder.parent.parent), run, ranks, rendezvous))
    except RankLostError as error:
        return RankResult("failed", f"Training ended: {error}", is_lost=True)
    except Exception as error:
        if not isinstance(error, StudioError):
            traceback.print_exc()
        return RankResult("failed", describe_failure(error))


def _exit_with_worker() -> None:
    """Kill this process when its standard input ends."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
