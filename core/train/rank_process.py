"""One rank of a run on several GPUs: `python -m core.train.rank_process RUN_DIR NUMBER COUNT MEETING PIPE`.

core.train.rank_launcher starts it. It ends when its standard input does: then the worker that started it is gone.
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
from core.system.fast_imports import uncompiled
from core.train import worker
from core.train.distributed import RankLost, Ranks
from core.train.failure_messages import cause_of
from core.train.rank_launcher import Said


def main(arguments: list[str]) -> int:
    folder, number, count, meeting, pipe = arguments
    uncompiled()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the worker hears it and asks all ranks to stop
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    run, ranks = Run(Path(folder)), Ranks(int(number), int(count))
    said = _trained(run, ranks, Path(meeting))
    said.send(int(pipe))
    if said.status == "failed":
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # not through the ends of libraries, which may wait for a rank that is gone
    ranks.leave()
    return 0


def _trained(run: Run, ranks: Ranks, meeting: Path) -> Said:
    try:
        return Said(*worker.train(Settings(home=run.folder.parent.parent), run, ranks, meeting))
    except RankLost as error:
        return Said("failed", f"Training ended: {error}", lost=True)
    except Exception as error:
        if not isinstance(error, StudioError):
            traceback.print_exc()
        return Said("failed", cause_of(error))


def _end_with_the_worker() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
