"""Files that are made to break whoever reads them: they end the process that reads, with a sentence, and no other."""

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
from core.system.process_limits import Limits
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


def lying(path):
    """Every length in the file's own tables says as much as it can."""
    table = pa.table({"instruction": ["a question"] * 500, "output": ["an answer"] * 500})
    pq.write_table(table, path, compression="snappy", use_dictionary=False)
    whole = bytearray(path.read_bytes())
    footer = int.from_bytes(whole[-8:-4], "little")
    for at in range(len(whole) - 8 - footer, len(whole) - 8):
        if whole[at] in (0xE8, 0xF4, 0xD0):  # low bytes of 500 and 1,000 as Thrift writes them
            whole[at : at + 2] = b"\xff\x7f"
    path.write_bytes(whole)


def long_footer(path):
    lying(path)
    whole = bytearray(path.read_bytes())
    whole[-8:-4] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(whole)


def many_frames(path):
    """Empty and skippable frames one behind another: small to store, once read in quadratic time."""
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
    """Each row has a column of its own."""
    path.write_text("".join(json.dumps({f"c{i}": 1}) + "\n" for i in range(40_000)))


def wide_parquet(path):
    pq.write_table(pa.table({f"c{i}": [1] for i in range(10_001)}), path)


def nothing_but_lines(path):
    path.write_bytes(gzip.compress(b"\n" * 2**24, 1))


BOMBS = {
    "frames.jsonl.zst": many_frames, "members.jsonl.gz": many_members, "zip.jsonl.gz": zip_inside,
    "zip.jsonl": zip_inside, "nested.jsonl.gz": gz_inside_gz, "digits.jsonl": digits, "line.csv.zst": one_line_csv,
    "wide.csv.gz": wide_csv, "wide.jsonl": wide_object, "names.jsonl": new_names, "wide.parquet": wide_parquet,
    "lines.txt.gz": nothing_but_lines,
    "line.jsonl.gz": one_long_line, "lines.jsonl.gz": many_lines, "frame.json.zst": one_long_frame, "deep.json": deep,
    "deep.jsonl": deep_lines, "lying.parquet": lying, "footer.parquet": long_footer,
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_its_process_with_a_sentence(settings, tmp_path, name):
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


def test_a_bomb_over_http_leaves_the_server_as_it_was(on_space, tmp_path):
    path = tmp_path / "deep.json"
    deep(path)
    page = PageClient(on_space.url, signed_in_headers(AUTHOR))
    with path.open("rb") as stream:
        uploaded = page.http.post("/upload", files={"files": ("deep.json", stream)}).json()[0]
    said = page.call("open_file", {"path": uploaded, "meta": {"_type": "gradio.FileData"}})
    assert said["error"]
    assert "in the studio itself" not in said["error"]
    assert httpx.get(f"{on_space.url}/healthz").text == "ok"
    page.http.close()


def test_limits_hold_in_the_process_and_its_children():
    """Of memory, time and size: asked of a process that took them."""
    code = (
        "import resource as r, subprocess, sys; from core.system.process_limits import Limits; "
        "Limits(2**30, 50, 2**20).apply(); "
        "print(r.getrlimit(r.RLIMIT_CPU)[0], r.getrlimit(r.RLIMIT_FSIZE)[0], flush=True); "
        "subprocess.run([sys.executable, '-c', 'import resource as r; print(r.getrlimit(r.RLIMIT_CPU)[1])'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ),
                          cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.stdout.split() == ["50", str(2**20), "50"], done.stderr


def test_frames_without_end_take_a_moment(settings, tmp_path):
    """25 KB of empty frames once took half an hour."""
    path = tmp_path / "frames.jsonl.zst"
    many_frames(path)
    before = sum(os.times()[:2])
    with pytest.raises(StudioError, match="holds no rows"):
        sources.open_file(settings, path)
    assert sum(os.times()[:2]) - before < 5


def test_other_people_open_files_while_one_takes_long(settings, tmp_path):
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
    # the next one who opens a file removes what the killed process left
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
