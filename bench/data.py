"""Datasets of up to 1,000,000 generated rows: ingest, queries and subsets, and `datasets` as the peer.

    python bench/data.py [--sizes 10000 100000 1000000] [--tokens] [--peer]

Each stage runs in a new process, so that its peak memory can be measured. Queries are timed three times and the median
is printed; the first page is timed once, in a new process.
"""

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.settings import Settings  # noqa: E402

_FIRST = ("ba", "ce", "di", "fo", "gu", "ha", "ji", "ko", "lu", "me", "na", "pi", "qua", "re", "si", "to", "vu", "wa")
_LAST = ("lan", "mor", "nes", "pit", "rud", "sal", "ten", "vor", "wen", "zik", "bo", "da", "fi", "gra")
WORDS = [first + last for first in _FIRST for last in _LAST]
# Shares of the rows that are exact and near duplicates of an earlier one.
EXACT_DUPLICATES, NEAR_DUPLICATES = 0.03, 0.03
_PAGE_ROWS = 25
# Rows from which duplicates are made, so that memory stays bounded.
_MAX_SEEN = 10_000


def write_rows(path: Path, rows: int) -> None:
    """Write conversations of one to three exchanges, about 350 characters each, with some duplicates."""
    rng = random.Random(rows)
    seen: list[list[dict]] = []
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            kind = rng.random()
            if seen and kind < EXACT_DUPLICATES:
                messages = rng.choice(seen)
            elif seen and kind < EXACT_DUPLICATES + NEAR_DUPLICATES:
                messages = [dict(message) for message in rng.choice(seen)]
                messages[-1]["content"] += f" {rng.choice(WORDS)}"
            else:
                messages = _make_conversation(rng)
                if len(seen) < _MAX_SEEN:
                    seen.append(messages)
            row = {"messages": messages, "score": round(rng.random(), 3), "topic": f"topic {number % 7}"}
            stream.write(json.dumps(row) + "\n")


def _make_conversation(rng: random.Random) -> list[dict]:
    messages = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        question, answer = rng.choices(WORDS, k=rng.randint(4, 14)), rng.choices(WORDS, k=rng.randint(8, 50))
        messages.append({"role": "user", "content": f"{' '.join(question)} {rng.randint(0, 10**6)}?"})
        messages.append({"role": "assistant", "content": " ".join(answer) + "."})
    return messages


def run_in_process(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return the result of `work` in a new process, and the peak memory of it or of a child, in MiB."""
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_send_result, args=(sender, work, arguments))
    process.start()
    sender.close()
    found = receiver.recv()
    process.join()
    return found


def _send_result(pipe: Any, work: Callable[..., Any], arguments: tuple) -> None:
    value = work(*arguments)
    kibibytes = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    pipe.send((value, max(kibibytes) / 1024))


def time_call(work: Callable[[], Any], repeats: int = 3) -> float:
    """Return the median of the seconds that some calls take."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def _settings(home: str) -> Settings:
    return Settings(home=Path(home)).prepare()


def ingest(home: str, path: str) -> tuple[str, float]:
    """Open a file, and return the id of the dataset and the seconds."""
    from core.data import sources

    began = time.perf_counter()
    data = sources.open_file(_settings(home), Path(path))
    return data.id, time.perf_counter() - began


def time_first_page(home: str, dataset: str) -> float:
    """Return the seconds to the first page of rows in this new process."""
    from core.data.rows import Rows
    from core.data.view import View

    settings = _settings(home)
    return time_call(lambda: Rows(settings, dataset).page(View(), 0, _PAGE_ROWS), 1)


def time_queries(home: str, dataset: str) -> dict[str, float]:
    """Return the seconds of each query that the Data tab makes."""
    from core.data.histogram import histogram
    from core.data.rows import Rows
    from core.data.view import Filter, View

    rows = Rows(_settings(home), dataset)
    searched, filtered = View(search="LANmor 7"), View(filters=[Filter(column="turns", low=4)])

    def page_and_count(view: View) -> None:
        rows.page(view, 0, _PAGE_ROWS)
        rows.count(view)

    return {
        "page in the middle": time_call(lambda: rows.page(View(), rows.about.rows // 2, _PAGE_ROWS)),
        "sorted page": time_call(lambda: rows.page(View(sort="characters", descending=True), 0, _PAGE_ROWS)),
        "search, page and count": time_call(lambda: page_and_count(searched)),
        "search that finds nothing": time_call(lambda: page_and_count(View(search="nowhere"))),
        "filter, page and count": time_call(lambda: page_and_count(filtered)),
        "histogram of a number": time_call(lambda: histogram(rows, "score")),
        "histogram of lengths": time_call(lambda: histogram(rows, "answer")),
        "histogram of values": time_call(lambda: histogram(rows, "topic")),
        "histogram under a search": time_call(lambda: histogram(rows, "turns", searched)),
    }


def time_exact_duplicates(home: str, dataset: str) -> float:
    """Return the seconds to find exact duplicates."""
    import shutil

    from core.data import parse_rows
    from core.data.rows import Rows

    settings = _settings(home)
    rows = Rows(settings, dataset)
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(rows.files["reading"], scratch)
        return time_call(lambda: parse_rows.find_duplicates(Path(scratch)), 1)


def find_near_duplicates(home: str, dataset: str) -> tuple[float, int]:
    """Return the seconds to find near duplicates, and their number."""
    import pyarrow.parquet as pq

    from core.data import near_duplicates
    from core.data.table import find

    settings = _settings(home)
    data = find(settings, dataset)
    began = time.perf_counter()
    path = near_duplicates.find(settings, data, data.detected)
    return time.perf_counter() - began, pq.read_metadata(path).num_rows


def create_and_export(home: str, dataset: str) -> tuple[float, float]:
    """Return the seconds to create a subset of 1,000 rows, and to export it."""
    from core.data import export, subset
    from core.data.recipe import Recipe

    settings = _settings(home)
    began = time.perf_counter()
    made = subset.create(settings, "thousand", Recipe(dataset=dataset, rows=1000, duplicates="exact"))
    created = time.perf_counter() - began
    export.export(settings, made.name, "llama2", ["jsonl", "parquet"])
    return created, time.perf_counter() - began - created


def count_tokens(home: str, dataset: str) -> float:
    """Return the seconds to count the tokens of every row."""
    from core.data import lengths
    from core.data.table import find
    from core.models import embedded

    settings = _settings(home)
    data = find(settings, dataset)
    embedded.prepare(settings)
    began = time.perf_counter()
    lengths.count_tokens(settings, data, data.detected, lengths.TokenizerSpec(embedded.NAME))
    return time.perf_counter() - began


def time_pages_while_counting(home: str, dataset: str) -> tuple[float, float]:
    """Return the median and the longest seconds of a page while a background job counts tokens, as on the page."""
    from core.data import tasks
    from core.data.lengths import TokenizerSpec
    from core.data.rows import Rows
    from core.data.table import find
    from core.data.view import View
    from core.models import embedded
    from core.system.jobs import Jobs

    settings = _settings(home)
    data, jobs, times = find(settings, dataset), Jobs(), []
    # Under another template, because the counts of the first one are stored.
    tokens = TokenizerSpec(embedded.NAME, "chatml")
    job = jobs.start("tokens", "tokens", tasks.count_tokens, settings, data, data.detected, tokens)
    while not job.ended.wait(0.5):
        times.append(time_call(lambda: Rows(settings, dataset).page(View(), data.rows // 3, _PAGE_ROWS), 1))
    return median(times), max(times)


def time_datasets(path: str, cache: str) -> dict[str, float]:
    """Return the seconds of `datasets` on the same file, with the calls that its documentation shows."""
    import datasets

    datasets.disable_progress_bars()
    began = time.perf_counter()
    table = datasets.load_dataset("json", data_files=path, cache_dir=cache, split="train")
    found = {"ingest": time.perf_counter() - began}
    found["page in the middle"] = time_call(lambda: table[len(table) // 2 : len(table) // 2 + _PAGE_ROWS])
    found["sorted page"] = time_call(lambda: table.sort("score", load_from_cache_file=False)[:_PAGE_ROWS], 1)

    def search() -> None:
        table.filter(
            lambda batch: [any("lanmor 7" in m["content"].lower() for m in talk) for talk in batch],
            input_columns="messages", batched=True, load_from_cache_file=False,
        )  # fmt: skip

    found["search, page and count"] = time_call(search, 1)
    return found


class Report:
    """Table of results by stage and size; each result is also printed to stderr as soon as it is known."""

    def __init__(self, sizes: list[int]):
        self.sizes = sizes
        self._cells: dict[str, list[str]] = {}

    def add(self, name: str, text: str, size: int) -> None:
        """Add the result of a stage at a size."""
        self._cells.setdefault(name, [""] * len(self.sizes))[self.sizes.index(size)] = text
        print(f"{size:>9,}  {name}: {text}", file=sys.stderr, flush=True)

    def print_table(self) -> None:
        """Print a row per stage and a column per size."""
        print("| | " + " | ".join(f"{size:,}" for size in self.sizes) + " |")
        print("|---" * (len(self.sizes) + 1) + "|")
        for name, cells in self._cells.items():
            print(f"| {name} | " + " | ".join(cells) + " |")


def measure(size: int, home: str, options: argparse.Namespace, report: Report) -> None:
    """Run all stages on generated rows of one size."""
    path = Path(home) / "rows.jsonl"
    write_rows(path, size)
    mebibytes = path.stat().st_size / 2**20
    (dataset, seconds), memory = run_in_process(ingest, home, str(path))
    report.add("ingest", f"{seconds:.1f} s, {size / seconds:,.0f} rows/s, {mebibytes / seconds:.0f} MiB/s", size)
    report.add("ingest: peak memory of a process", f"{memory:.0f} MiB", size)
    report.add("first page, fresh process", f"{run_in_process(time_first_page, home, dataset)[0]:.3f} s", size)
    found, memory = run_in_process(time_queries, home, dataset)
    for name, seconds in found.items():
        report.add(name, f"{seconds:.3f} s", size)
    report.add("queries: peak memory", f"{memory:.0f} MiB", size)
    report.add("exact duplicates", f"{run_in_process(time_exact_duplicates, home, dataset)[0]:.2f} s", size)
    (seconds, pairs), memory = run_in_process(find_near_duplicates, home, dataset)
    report.add("near duplicates", f"{seconds:.1f} s ({pairs:,} found), {memory:.0f} MiB", size)
    (created, exported), memory = run_in_process(create_and_export, home, dataset)
    report.add("subset of 1,000 without duplicates", f"{created:.2f} s, {memory:.0f} MiB", size)
    report.add("export as JSONL and Parquet", f"{exported:.2f} s", size)
    if options.tokens:
        report.add("tokens of every row", f"{run_in_process(count_tokens, home, dataset)[0]:.1f} s", size)
        middle, slowest = run_in_process(time_pages_while_counting, home, dataset)[0]
        report.add("page meanwhile", f"{middle:.3f} s, slowest {slowest:.3f} s", size)
    if options.peer:
        for name, seconds in run_in_process(time_datasets, str(path), str(Path(home) / "cache"))[0].items():
            report.add(f"datasets: {name}", f"{seconds:.2f} s", size)


def main() -> None:
    """Measure each size, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="numbers of rows")
    parser.add_argument("--tokens", action="store_true", help="also count the tokens of every row")
    parser.add_argument("--peer", action="store_true", help="also measure datasets, on the same files")
    options = parser.parse_args()
    report = Report(options.sizes)
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as home:
            measure(size, home, options, report)
    report.print_table()


if __name__ == "__main__":
    main()
