"""Parallel map over the row groups of a Parquet file, with results in order and bounded memory.

Workers are spawned, not forked: the server runs threads, whose locks a forked child would inherit in a locked state.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

Result = TypeVar("Result")
Work = Callable[[pa.Table], Result]

# The function of this worker process, set once by `_prepare`.
_work: Work | None = None


def map_row_groups(
    path: Path,
    columns: list[str],
    make: Callable[..., Work[Result]],
    arguments: tuple,
    progress: Callable[[float], None],
) -> Iterator[Result]:
    """Apply a function to every row group of a file and yield the results in order.

    A file with a single row group is processed in this process, since starting another takes longer.

    Args:
        path: The Parquet file.
        columns: Columns to read.
        make: Function that returns the function to apply; called once per process. It must be importable by name.
        arguments: Arguments of `make`, which must be picklable.
        progress: Callback for the share of groups that are done, 0 to 1.
    """
    with pq.ParquetFile(path) as file:
        groups = file.num_row_groups
        if groups < 2:
            work = make(*arguments)
            for group in range(groups):
                yield work(file.read_row_group(group, columns))
            progress(1.0)
            return
    cores = min(os.cpu_count() or 1, groups)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, context, _prepare, (make, arguments)) as pool:
        waiting: deque[Future] = deque()
        for group in range(groups):
            waiting.append(pool.submit(_do, path, group, columns))
            # Results wait in order. Limiting their number bounds memory if the consumer or one group is slow.
            if len(waiting) > cores * 2:
                yield waiting.popleft().result()
                progress((group + 1 - len(waiting)) / groups)
        while waiting:
            yield waiting.popleft().result()
            progress((groups - len(waiting)) / groups)


def _prepare(make: Callable[..., Work], arguments: tuple) -> None:
    global _work
    # The web server keeps its priority over background work.
    os.nice(5)
    _work = make(*arguments)


def _do(path: Path, group: int, columns: list[str]) -> object:
    assert _work is not None
    with pq.ParquetFile(path) as file:
        return _work(file.read_row_group(group, columns))
