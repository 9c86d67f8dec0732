"""Files stored as datasets: types, damage, limits, and a process that is killed."""

import gzip
import json
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data import ingest, sources, table
from core.data.readers import SourceRow
from core.data.table import Source
from core.errors import StudioError
from tests.helpers.datasets import json_lines, open_dataset

TEXT = {"instruction": "Add", "output": "2"}


def rows_of(settings, data) -> list[dict]:
    return pq.read_table(table.folder(settings, data.id) / "rows.parquet").to_pylist()


def test_ingest_stores_rows_columns_and_kinds_of_the_file(settings, tmp_path):
    rows = [TEXT | {"n": i, "share": i / 4, "flag": i % 2 == 0, "tags": ["a"], "note": None} for i in range(4)]
    data = open_dataset(settings, tmp_path, rows)
    assert (data.rows, data.unreadable, data.complaints, data.nested) == (4, 0, [], ["tags"])
    assert {c.name: c.kind for c in data.columns} == {
        "instruction": "text", "output": "text", "n": "integer", "share": "number", "flag": "flag"
    }  # fmt: skip
    stored = rows_of(settings, data)
    assert [json.loads(row["raw"]) for row in stored] == rows
    assert [row["c.share"] for row in stored] == [0, 0.25, 0.5, 0.75]
    assert [row["line"] for row in stored] == [1, 2, 3, 4]


def test_ingest_reads_the_same_bytes_anew_under_another_ending(settings, tmp_path):
    read = []
    for name in ("poem.txt", "poem.tsv", "poem.tsv"):
        path = tmp_path / name
        path.write_text("rose\tred\nviolet\tblue\n")
        read.append(sources.open_file(settings, path))
    assert [data.source.name for data in read] == ["poem.txt", "poem.tsv", "poem.tsv"]
    assert [len(data.columns) for data in read] == [1, 2, 2]


def test_ingest_reports_trouble_by_line_and_keeps_other_rows(settings, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        json_lines([TEXT]) + "oops\n" + json_lines([TEXT | {"n": 1}, TEXT | {"n": "many"}, TEXT | {"n": 2}])
    )
    data = sources.open_file(settings, path)
    assert (data.rows, data.unreadable) == (5, 1)
    assert data.complaints == [
        "line 2 is not JSON (Expecting value)",
        "the column 'n' is a number in 2 rows, but text in 1 (first: line 4)",
    ]
    assert [row["trouble"] for row in rows_of(settings, data)] == [None, "is not JSON (Expecting value)", *[None] * 3]
    assert [row["c.n"] for row in rows_of(settings, data)] == [None, None, "1", "many", "2"]


def test_ingest_of_csv_types_numbers_but_keeps_codes_as_text(settings, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,count,share,code,word\nhello there,1,0.5,007,a\nand more,,1,010,2\n")
    data = sources.open_file(settings, path)
    assert {c.name: c.kind for c in data.columns} == {
        "text": "text", "count": "integer", "share": "number", "code": "text", "word": "text"
    }  # fmt: skip
    assert [row["c.count"] for row in rows_of(settings, data)] == [1, None]


COMMAS = {
    "decimal commas": (["0,5", "1,0", "2"], True),
    "signs and spaces": (["-0,5", " 1,25 ", ""], True),
    "points": (["0.5", "1.0", "2"], False),
    "whole numbers": (["5", "10", "2"], False),
    "thousands and decimals": (["1.234,5", "0,5", "1"], False),
    "lists": (["1,2,3", "4,5", "6"], False),
    "texts": (["0,5", "a lot", "1"], False),
}


@pytest.mark.parametrize(("cells", "reported"), COMMAS.values(), ids=COMMAS)
def test_ingest_reports_numbers_with_a_comma(settings, tmp_path, cells, reported):
    path = tmp_path / "rows.csv"
    lines = [f"Why is it {i}?;It is so {i}.;{cell}\n" for i, cell in enumerate(cells)]
    path.write_text("prompt;completion;share\n" + "".join(lines))
    found = [words for words in sources.open_file(settings, path).complaints if "numbers with a comma" in words]
    assert bool(found) == reported
    assert not reported or f"the column 'share' holds numbers with a comma, such as {cells[0].strip()!r}" in found[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rows.csv", "integer"), ("ROWS.CSV", "integer"), ("rows.jsonl.tsv", "integer"), ("rows.csv.gz", "integer"),
        ("rows.jsonl", "text"), ("scores.csv.jsonl", "text"), ("a.tsv.b.json", "text"), ("scores.csv.jsonl.gz", "text"),
        ("export.tsv.parquet", "text"), ("rows.csvs.jsonl", "text"),
    ],
)  # fmt: skip
def test_ingest_types_cells_by_the_ending_that_chooses_the_reader(settings, tmp_path, name, kind):
    path, rows = tmp_path / name, [TEXT | {"id": "42"}]
    if name.lower().removesuffix(".gz").endswith((".csv", ".tsv")):
        mark = "," if ".csv" in name.lower() else "\t"
        content = "".join(mark.join(cells) + "\n" for cells in (rows[0], rows[0].values())).encode()
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
        content = path.read_bytes()
    else:
        content = json_lines(rows).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    data = sources.open_file(settings, path)
    assert {column.name: column.kind for column in data.columns}["id"] == kind


def test_ingest_keeps_huge_integers_as_text_and_replaces_lone_surrogates(settings, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a\\ud800b", "n": 36893488147419103232}\n{"text": "c", "n": 1}\n')
    data = sources.open_file(settings, path)
    assert [row["c.text"] for row in rows_of(settings, data)] == ["a\ufffdb", "c"]
    assert [row["c.n"] for row in rows_of(settings, data)] == [str(2**65), "1"]


def test_ingest_of_known_content_returns_existing_dataset(settings, tmp_path, monkeypatch):
    data = open_dataset(settings, tmp_path, [TEXT])
    # The file must not be read a second time.
    monkeypatch.setattr(ingest, "_ingest", None)
    assert sources.open_file(settings, tmp_path / "rows.jsonl") == data


def test_ingest_joins_many_row_groups(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "GROUP_ROWS", 7)
    data = open_dataset(settings, tmp_path, [TEXT | {"n": i} | ({"late": "x"} if i == 20 else {}) for i in range(30)])
    stored = rows_of(settings, data)
    assert [row["row"] for row in stored] == [row["c.n"] for row in stored] == list(range(30))
    assert [row["c.late"] for row in stored].index("x") == 20
    assert not list(table.folder(settings, data.id).glob("part-*"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("oops\n[1]\n", "Nothing in 'rows.jsonl' can be read: line 1 is not JSON"),
        ('{"weight": 3}\n', r"No text in 'rows.jsonl' \(columns: weight\). Expected one of: messages"),
        ("\n\n", "it holds no rows"),
    ],
)
def test_ingest_without_text_raises_and_leaves_no_folder(settings, tmp_path, text, why):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(StudioError, match=why):
        sources.open_file(settings, path)
    assert [p.name for p in settings.datasets_dir.iterdir() if p.is_dir()] == []


def test_ingest_keeps_columns_past_the_limit_in_raw_only(settings, tmp_path):
    data = open_dataset(settings, tmp_path, [TEXT | {f"c{i}": i for i in range(400)}])
    assert len(data.columns) == ingest.MAX_COLUMNS
    assert len(json.loads(rows_of(settings, data)[0]["raw"])) == 402


KILLED = """
import itertools, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from core.data import ingest
from core.data.readers import SourceRow
from core.data.table import Source
from core.settings import Settings

def rows():
    for i in itertools.count():
        if i == 25_000:
            print("half way", flush=True)
        yield "train", SourceRow(i, {"text": "### Human: a### Assistant: b"}, "{}")

ingest.ingest(Settings(home=Path(sys.argv[1])).prepare(), Source(kind="upload", name="a", key="k" * 64), rows())
"""


def test_ingest_killed_leaves_no_dataset_and_next_one_cleans_up(settings):
    root = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-c", KILLED, str(settings.home), root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "half way\n"
        child.send_signal(signal.SIGKILL)
    assert table.opened_datasets(settings) == []
    assert list(settings.datasets_dir.glob(".ingest-*"))
    rows = [("train", SourceRow(1, {"text": "### Human: a### Assistant: b"}, "{}"))]
    made = ingest.ingest(settings, Source(kind="upload", name="a", key="k" * 64), rows)
    assert table.opened_datasets(settings) == [made]
    assert not list(settings.datasets_dir.glob(".ingest-*"))


@pytest.mark.parametrize("at", [0, 300])
def test_ingest_of_a_name_that_is_a_text_is_refused_with_its_line(settings, tmp_path, at):
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Why {number}?", "completion": "So."} for number in range(301)]
    rows[at]["x" * 1_001] = "y"
    path.write_text(json_lines(rows))
    with pytest.raises(StudioError, match=f"Line {at + 1} has the name of a column with 1,001 characters"):
        sources.open_file(settings, path)
