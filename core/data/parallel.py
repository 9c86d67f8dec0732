"""The row groups of a Parquet file worked on by all cores: results in order, a bounded number of them waiting."""

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

_work: Work | None = None  # what this worker process does, built once by `_prepare`


def map_row_groups(
    path: Path, columns: list[str], make: Callable[..., Work[Result]], arguments: tuple, at: Callable[[float], None]
) -> Iterator[Result]:
    """`make(*arguments)` gives a function; it is called with every row group of `path`, in processes of their own.

    Args:
        make: a function of a module, as are `arguments` to be pickled; called once a process.
        at: told what share of the groups is done.

    A file of one group is worked on here.
    """
    with pq.ParquetFile(path) as file:
        groups = file.num_row_groups
        if groups < 2:
            work = make(*arguments)
            for group in range(groups):
                yield work(file.read_row_group(group, columns))
            at(1.0)
            return
    cores = min(os.cpu_count() or 1, groups)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, context, _prepare, (make, arguments)) as pool:
        waiting: deque[Future] = deque()
        for group in range(groups):
            waiting.append(pool.submit(_do, path, group, columns))
            if len(waiting) > cores * 2:
                yield waiting.popleft().result()
                at((group + 1 - len(waiting)) / groups)
        while waiting:
            yield waiting.popleft().result()
            at((groups - len(waiting)) / groups)


def _prepare(make: Callable[..., Work], arguments: tuple) -> None:
    global _work
    os.nice(5)  # whoever clicks goes first
    _work = make(*arguments)


def _do(path: Path, group: int, columns: list[str]) -> object:
    assert _work is not None
    with pq.ParquetFile(path) as file:
        return _work(file.read_row_group(group, columns))
