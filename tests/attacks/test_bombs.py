"""Files that are made to break whoever reads them: they end the process that reads, with a sentence, and no other."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from on_a_space import AUTHOR, signed_in
from served import Page

from core.data import sources
from core.jobs import Jobs
from core.limits import Limits

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


BOMBS = {
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
    page = Page(on_space.url, signed_in(AUTHOR))
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
        "import resource as r, subprocess, sys; from core.limits import Limits; Limits(2**30, 50, 2**20).apply(); "
        "print(r.getrlimit(r.RLIMIT_CPU)[0], r.getrlimit(r.RLIMIT_FSIZE)[0], flush=True); "
        "subprocess.run([sys.executable, '-c', 'import resource as r; print(r.getrlimit(r.RLIMIT_CPU)[1])'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ),
                          cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.stdout.split() == ["50", str(2**20), "50"], done.stderr
