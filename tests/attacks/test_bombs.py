"""Tests of files that are made to break their reader: only the reading process ends, with a clear error."""

import gzip
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from core.data import sources
from core.errors import StudioError
from core.system.jobs import Jobs
from core.system.process_limits import EXIT_REASONS, Limits
from tests.helpers.app_server import PageClient
from tests.helpers.space_server import AUTHOR, signed_in_headers

ZEROS = bytes(2**26)
LIMITS = Limits(memory=2**28, seconds=6, written=2**24)
ROW = json.dumps({"instruction": "a question", "output": "an answer " * 40}).encode() + b"\n"


def one_long_line(path):
    member = gzip.compress(b'{"instruction": "' + ZEROS.replace(b"\0", b"a"), 1)
    more = gzip.compress(ZEROS.replace(b"\0", b"a"), 1)
    path.write_bytes(member + more * 40)


def many_lines(path):
    member = gzip.compress(ROW * (2**24 // len(ROW)), 1)
    path.write_bytes(member * 200)


def one_long_frame(path):
    packer = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        for _ in range(48):
            file.write(packer.compress(ZEROS))
        file.write(packer.flush())


def deep(path):
    path.write_text("[" * 100_000 + "]" * 100_000)


def deep_lines(path):
    path.write_text('{"a":' * 100_000 + "1" + "}" * 100_000 + "\n")


def repeated_value(path):
    """One value of a megabyte, a million times: 19 KB on disk, a terabyte in memory."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["a" * 2**20]))
    pq.write_table(pa.table({"instruction": column, "output": column}), path)


def lying(path):
    """Write a Parquet file whose own tables claim the greatest lengths."""
    table = pa.table({"instruction": ["a question"] * 500, "output": ["an answer"] * 500})
    pq.write_table(table, path, compression="snappy", use_dictionary=False)
    whole = bytearray(path.read_bytes())
    footer = int.from_bytes(whole[-8:-4], "little")
    for at in range(len(whole) - 8 - footer, len(whole) - 8):
        # Low bytes of 500 and 1,000 in Thrift's encoding.
        if whole[at] in (0xE8, 0xF4, 0xD0):
            whole[at : at + 2] = b"\xff\x7f"
    path.write_bytes(whole)


def long_footer(path):
    lying(path)
    whole = bytearray(path.read_bytes())
    whole[-8:-4] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(whole)


def many_frames(path):
    """Write consecutive empty and skippable frames: small on disk, once read in quadratic time."""
    empty = zstandard.ZstdCompressor(write_content_size=False, write_checksum=False).compress(b"")
    path.write_bytes(empty * 12_000 + b"\x50\x2a\x4d\x18\x00\x00\x00\x00" * 12_000)


def many_members(path):
    path.write_bytes(gzip.compress(b"") * 20_000)


def zip_inside(path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", ROW * 100_000)
    path.write_bytes(packed.getvalue())


def gz_inside_gz(path):
    path.write_bytes(gzip.compress(gzip.compress(ZEROS)))


def digits(path):
    path.write_text('{"instruction": "a", "output": ' + "9" * 1_000_000 + "}\n" * 3)


def one_line_csv(path):
    packer = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        file.write(packer.compress(b"instruction,output\n"))
        for _ in range(10):
            file.write(packer.compress(ZEROS.replace(b"\0", b"a")))
        file.write(packer.flush())


def wide_csv(path):
    names = b"column," * 2_000_000
    path.write_bytes(gzip.compress(names + b"x\n" + b"1," * 2_000_000 + b"1\n", 1))


def wide_object(path):
    path.write_text("{" + ",".join(f'"c{i}": 1' for i in range(300_000)) + "}\n")


def new_names(path):
    """Write rows with a new column each."""
    path.write_text("".join(json.dumps({f"c{i}": 1}) + "\n" for i in range(40_000)))


def wide_parquet(path):
    pq.write_table(pa.table({f"c{i}": [1] for i in range(10_001)}), path)


def write_arrow(path, table):
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)


def repeated_arrow(path):
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["a" * 2**20]))
    write_arrow(path, pa.table({"instruction": column, "output": column}))


def lying_arrow(path):
    """Write an Arrow stream whose compressed texts claim to be a terabyte."""
    text = "a" * 2**20
    write_arrow(path, pa.table({"instruction": [text]}))
    whole = path.read_bytes()
    size = len(text).to_bytes(8, "little")
    assert size in whole
    path.write_bytes(whole.replace(size, (2**40).to_bytes(8, "little")))


def nothing_but_lines(path):
    path.write_bytes(gzip.compress(b"\n" * 2**24, 1))


BOMBS = {
    "frames.jsonl.zst": many_frames, "members.jsonl.gz": many_members, "zip.jsonl.gz": zip_inside,
    "zip.jsonl": zip_inside, "nested.jsonl.gz": gz_inside_gz, "digits.jsonl": digits, "line.csv.zst": one_line_csv,
    "wide.csv.gz": wide_csv, "wide.jsonl": wide_object, "names.jsonl": new_names, "wide.parquet": wide_parquet,
    "lines.txt.gz": nothing_but_lines,
    "line.jsonl.gz": one_long_line, "lines.jsonl.gz": many_lines, "frame.json.zst": one_long_frame, "deep.json": deep,
    "deep.jsonl": deep_lines, "repeated.parquet": repeated_value,
    "repeated.arrow": repeated_arrow, "lying.arrow": lying_arrow, "lying.parquet": lying, "footer.parquet": long_footer,
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_file_is_rejected_within_limits(settings, tmp_path, name):
    path = tmp_path / name
    BOMBS[name](path)
    jobs = Jobs()
    job = jobs.start("open", name, sources.open_file, settings, path, limits=LIMITS)
    assert job.ended.wait(120)
    assert job.status == "failed", f"opened: {job.result}"
    assert job.error
    assert "Traceback" not in job.error
    assert "in the studio itself" not in job.error, job.error
    jobs.close()
    assert not list(settings.datasets_dir.glob("[!.]*")), "nothing half-read is left to be opened"


def test_bomb_upload_leaves_server_responsive(on_space, tmp_path):
    path = tmp_path / "deep.json"
    deep(path)
    page = PageClient(on_space.url, signed_in_headers(AUTHOR))
    with path.open("rb") as stream:
        uploaded = page.http.post("/upload", files={"files": ("deep.json", stream)}).json()[0]
    answer = page.call("open_file", {"path": uploaded, "meta": {"_type": "gradio.FileData"}})
    assert answer["error"]
    assert "in the studio itself" not in answer["error"]
    assert httpx.get(f"{on_space.url}/healthz").text == "ok"
    page.http.close()


def test_process_limits_apply_to_children():
    """Read the limits of memory, time and size in a process that has set them."""
    code = (
        "import resource as r, subprocess, sys; from core.system.process_limits import Limits; "
        "Limits(2**30, 50, 2**20).apply(); "
        "print(r.getrlimit(r.RLIMIT_CPU)[0], r.getrlimit(r.RLIMIT_FSIZE)[0], flush=True); "
        "subprocess.run([sys.executable, '-c', 'import resource as r; print(*r.getrlimit(r.RLIMIT_CPU))'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ),
                          cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.stdout.split() == ["50", str(2**20), "50", "55"], done.stderr


def test_process_out_of_time_ends_with_a_signal_that_says_so():
    code = "from core.system.process_limits import Limits\nLimits(2**30, 1, 2**20).apply()\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", code], timeout=60, cwd=Path(__file__).parents[2])
    assert "CPU time" in EXIT_REASONS[done.returncode]


def test_many_empty_frames_are_read_in_linear_time(settings, tmp_path):
    """Read 25 KB of empty frames, which once took half an hour."""
    path = tmp_path / "frames.jsonl.zst"
    many_frames(path)
    before = sum(os.times()[:2])
    with pytest.raises(StudioError, match="holds no rows"):
        sources.open_file(settings, path)
    assert sum(os.times()[:2]) - before < 5


def test_slow_import_does_not_block_other_imports(settings, tmp_path):
    slow, quick = tmp_path / "slow.jsonl.gz", tmp_path / "quick.jsonl"
    many_lines(slow)
    quick.write_bytes(ROW)
    jobs = Jobs()
    job = jobs.start("open/slow", "slow", sources.open_file, settings, slow, limits=Limits(2**30, 60, 2**40))
    assert _reads(settings), "the slow file is not being read"
    assert sources.open_file(settings, quick).rows == 1
    assert not job.ended.is_set()
    jobs.cancel(job)
    assert job.ended.wait(10)
    assert job.status == "cancelled"
    # The next import removes the scratch folder of the killed process.
    left = list(settings.datasets_dir.glob(".ingest-*"))
    assert left
    quick.write_bytes(ROW * 2)
    sources.open_file(settings, quick)
    assert not list(settings.datasets_dir.glob(".ingest-*"))
    jobs.close()


def _reads(settings) -> bool:
    """Wait until some file is being written into a scratch folder."""
    ends = threading.Event()
    for _ in range(600):
        if any(settings.datasets_dir.glob(".ingest-*/part-0.parquet")):
            return True
        ends.wait(0.05)
    return False
