"""Row groups mapped in worker processes."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.parallel import map_row_groups


@pytest.fixture(autouse=True)
def fork_jobs() -> None:
    """Replace the fixture that forks: these processes are spawned."""


def summing(bonus: int):
    return lambda group: (sum(group["n"].to_pylist()) + bonus, os.getpid())


def failing():
    def work(group):
        raise ValueError(f"no group of {len(group)} rows")

    return work


def written(path, rows: int, group: int):
    pq.write_table(pa.table({"n": list(range(rows)), "other": ["x"] * rows}), path, row_group_size=group)
    return path


@pytest.mark.parametrize(("rows", "group"), [(0, 10), (5, 10), (95, 10)])
def test_map_row_groups_yields_results_in_order(tmp_path, rows, group):
    path, shares = written(tmp_path / "a.parquet", rows, group), []
    found = list(map_row_groups(path, ["n"], summing, (1000,), shares.append))
    starts = range(0, rows, group)
    assert [total for total, _ in found][: len(starts)] == [
        sum(range(at, min(at + group, rows))) + 1000 for at in starts
    ]
    assert shares[-1] == 1.0
    here = {pid for _, pid in found} == {os.getpid()}
    assert here == (rows <= group), "several groups go to processes of their own, one stays here"


@pytest.mark.parametrize("rows", [5, 25])
def test_map_row_groups_raises_exceptions_of_workers(tmp_path, rows):
    with pytest.raises(ValueError, match="no group of 5 rows"):
        list(map_row_groups(written(tmp_path / "a.parquet", rows, 5), ["n"], failing, (), lambda share: None))
