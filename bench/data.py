"""The data studio at 10,000, 100,000 and 1,000,000 made-up conversations, with `datasets` beside it where it can.

    python bench/data.py [--sizes 10000 100000 1000000] [--tokens] [--peer]

Every stage runs in a process of its own, so that its peak memory is its own. Queries are timed three times, the median
is printed; the first page is timed in a fresh process, once.
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

_FIRST = ("ba", "ce", "di", "fo", "gu", "ha", "ji", "ko", "lu", "me", "na", "pi", "qua", "re", "si", "to", "vu", "wa")
_LAST = ("lan", "mor", "nes", "pit", "rud", "sal", "ten", "vor", "wen", "zik", "bo", "da", "fi", "gra")
WORDS = [first + last for first in _FIRST for last in _LAST]
REPEATED, CHANGED = 0.03, 0.03  # shares of exact and near duplicates


def make(path: Path, rows: int) -> None:
    """`rows` conversations of one to three exchanges, about 350 characters each, some of them repeated."""
    draw = random.Random(rows)
    seen: list[list[dict]] = []
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            kind = draw.random()
            if seen and kind < REPEATED:
                messages = draw.choice(seen)
            elif seen and kind < REPEATED + CHANGED:
                messages = [dict(m) for m in draw.choice(seen)]
                messages[-1]["content"] += f" {draw.choice(WORDS)}"
            else:
                messages = _talk(draw)
                if len(seen) < 10_000:
                    seen.append(messages)
            row = {"messages": messages, "score": round(draw.random(), 3), "topic": f"topic {number % 7}"}
            stream.write(json.dumps(row) + "\n")


def _talk(draw: random.Random) -> list[dict]:
    messages = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        asked, answered = draw.choices(WORDS, k=draw.randint(4, 14)), draw.choices(WORDS, k=draw.randint(8, 50))
        messages.append({"role": "user", "content": f"{' '.join(asked)} {draw.randint(0, 10**6)}?"})
        messages.append({"role": "assistant", "content": " ".join(answered) + "."})
    return messages


def apart(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What `work` returns in a fresh process, and the peak memory of it and its children in MiB."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_apart, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def _apart(pipe: Any, work: Callable[..., Any], arguments: tuple) -> None:
    value = work(*arguments)
    own, children = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    pipe.send((value, max(own, children)))


def timed(work: Callable[[], Any], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def _settings(home: str) -> Any:
    from core.settings import Settings

    return Settings(home=Path(home)).prepare()


def ingest(home: str, path: str) -> tuple[str, float]:
    from core.data import sources

    began = time.perf_counter()
    data = sources.open_file(_settings(home), Path(path))
    return data.id, time.perf_counter() - began


def first_page(home: str, dataset: str) -> float:
    from core.data.rows import Rows
    from core.data.view import View

    settings = _settings(home)
    return timed(lambda: Rows(settings, dataset).page(View(), 0, 25), 1)


def queries(home: str, dataset: str) -> dict[str, float]:
    from core.data.histogram import histogram
    from core.data.rows import Rows
    from core.data.view import Filter, View

    rows = Rows(_settings(home), dataset)
    searched, filtered = View(search="LANmor 7"), View(filters=[Filter(column="turns", low=4)])

    def page_and_count(view: View) -> None:
        rows.page(view, 0, 25)
        rows.count(view)

    return {
        "page in the middle": timed(lambda: rows.page(View(), rows.about.rows // 2, 25)),
        "sorted page": timed(lambda: rows.page(View(sort="characters", descending=True), 0, 25)),
        "search, page and count": timed(lambda: page_and_count(searched)),
        "search that finds nothing": timed(lambda: page_and_count(View(search="nowhere"))),
        "filter, page and count": timed(lambda: page_and_count(filtered)),
        "histogram of a number": timed(lambda: histogram(rows, "score")),
        "histogram of lengths": timed(lambda: histogram(rows, "answer")),
        "histogram of values": timed(lambda: histogram(rows, "topic")),
        "histogram under a search": timed(lambda: histogram(rows, "turns", searched)),
    }


def exact(home: str, dataset: str) -> float:
    import shutil

    from core.data import parse_rows
    from core.data.rows import Rows

    settings = _settings(home)
    rows = Rows(settings, dataset)
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(rows.files["reading"], scratch)
        return timed(lambda: parse_rows.find_duplicates(Path(scratch)), 1)


def near(home: str, dataset: str) -> tuple[float, int]:
    import pyarrow.parquet as pq

    from core.data import near_duplicates as nears
    from core.data.table import find

    settings = _settings(home)
    data = find(settings, dataset)
    began = time.perf_counter()
    path = nears.find(settings, data, data.detected)
    return time.perf_counter() - began, pq.read_metadata(path).num_rows


def cut_and_export(home: str, dataset: str) -> tuple[float, float]:
    from core.data import export, subset
    from core.data.recipe import Recipe

    settings = _settings(home)
    began = time.perf_counter()
    made = subset.create(settings, "thousand", Recipe(dataset=dataset, rows=1000, duplicates="exact"))
    cut = time.perf_counter() - began
    export.export(settings, made.name, "llama2", ["jsonl", "parquet"])
    return cut, time.perf_counter() - began - cut


def tokens(home: str, dataset: str) -> float:
    from core.data import lengths
    from core.data.table import find
    from core.models import embedded

    settings = _settings(home)
    data = find(settings, dataset)
    embedded.prepare(settings)
    began = time.perf_counter()
    lengths.count_tokens(settings, data, data.detected, lengths.TokenizerSpec(embedded.NAME))
    return time.perf_counter() - began


def page_meanwhile(home: str, dataset: str) -> tuple[float, float]:
    """Count tokens in a job, as the page does, and turn pages until it ends: the median and the slowest page."""
    from core.data import tasks
    from core.data.lengths import TokenizerSpec
    from core.data.rows import Rows
    from core.data.table import find
    from core.data.view import View
    from core.models import embedded
    from core.system.jobs import Jobs

    settings = _settings(home)
    data, jobs, times = find(settings, dataset), Jobs(), []
    tokens = TokenizerSpec(embedded.NAME, "chatml")  # counted anew, under another template
    job = jobs.start("tokens", "tokens", tasks.count_tokens, settings, data, data.detected, tokens)
    while not job.ended.wait(0.5):
        times.append(timed(lambda: Rows(settings, dataset).page(View(), data.rows // 3, 25), 1))
    return median(times), max(times)


def peer(path: str, cache: str) -> dict[str, float]:
    """`datasets` on the same file: what its users write."""
    import datasets

    datasets.disable_progress_bars()
    began = time.perf_counter()
    table = datasets.load_dataset("json", data_files=path, cache_dir=cache, split="train")
    found = {"ingest": time.perf_counter() - began}
    found["page in the middle"] = timed(lambda: table[len(table) // 2 : len(table) // 2 + 25])
    found["sorted page"] = timed(lambda: table.sort("score", load_from_cache_file=False)[:25], 1)

    def search() -> None:
        table.filter(
            lambda batch: [any("lanmor 7" in m["content"].lower() for m in talk) for talk in batch],
            input_columns="messages", batched=True, load_from_cache_file=False,
        )  # fmt: skip

    found["search, page and count"] = timed(search, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--tokens", action="store_true", help="also count the tokens of every row")
    parser.add_argument("--peer", action="store_true", help="also datasets, on the same files")
    options = parser.parse_args()
    table: dict[str, list[str]] = {}

    def note(name: str, words: str, size: int) -> None:
        table.setdefault(name, [""] * len(options.sizes))[options.sizes.index(size)] = words
        print(f"{size:>9,}  {name}: {words}", file=sys.stderr, flush=True)

    for size in options.sizes:
        with tempfile.TemporaryDirectory() as home:
            path = Path(home) / "rows.jsonl"
            make(path, size)
            megabytes = path.stat().st_size / 2**20
            (dataset, seconds), memory = apart(ingest, home, str(path))
            note("ingest", f"{seconds:.1f} s, {size / seconds:,.0f} rows/s, {megabytes / seconds:.0f} MB/s", size)
            note("ingest: peak memory of a process", f"{memory:.0f} MiB", size)
            note("first page, fresh process", f"{apart(first_page, home, dataset)[0]:.3f} s", size)
            found, memory = apart(queries, home, dataset)
            for name, seconds in found.items():
                note(name, f"{seconds:.3f} s", size)
            note("queries: peak memory", f"{memory:.0f} MiB", size)
            note("exact duplicates", f"{apart(exact, home, dataset)[0]:.2f} s", size)
            (seconds, pairs), memory = apart(near, home, dataset)
            note("near duplicates", f"{seconds:.1f} s ({pairs:,} found), {memory:.0f} MiB", size)
            (cut, export), memory = apart(cut_and_export, home, dataset)
            note("subset of 1,000 without duplicates", f"{cut:.2f} s, {memory:.0f} MiB", size)
            note("export as JSONL and Parquet", f"{export:.2f} s", size)
            if options.tokens:
                note("tokens of every row", f"{apart(tokens, home, dataset)[0]:.1f} s", size)
                middle, slowest = apart(page_meanwhile, home, dataset)[0]
                note("page meanwhile", f"{middle:.3f} s, slowest {slowest:.3f} s", size)
            if options.peer:
                for name, seconds in apart(peer, str(path), str(Path(home) / "cache"))[0].items():
                    note(f"datasets: {name}", f"{seconds:.2f} s", size)
    print("| | " + " | ".join(f"{size:,}" for size in options.sizes) + " |")
    print("|---" * (len(options.sizes) + 1) + "|")
    for name, cells in table.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
