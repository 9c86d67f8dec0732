"""Atomic writing of files, so that no reader ever sees half of one.

A file is written beside its target, flushed to the disk, and renamed over it. POSIX renames are atomic, so a reader
gets either the old content or the new one, also after a crash.
"""

import contextlib
import functools
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` on success, remove it on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # Without the flush, a crash after the rename could leave an empty file.
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file with a text."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace a file with a value as JSON."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return the value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=1024)
def log_unreadable(source: Path | str, reason: str) -> None:
    """Write to the server's log, once, that a file or a line is left out because it cannot be read.

    Pages read their lists again and again, so every further call with the same arguments does nothing.

    Args:
        source: The file, or the line and its file.
        reason: The error.
    """
    print(f"{source} cannot be read and is left out: {reason}", file=sys.stderr)


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def ends_with_newline(path: Path) -> bool:
    """Return whether the last byte of a file that is not empty ends a line."""
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def modified_ns(path: Path) -> int:
    """Return when a file or folder was changed, in nanoseconds since the epoch; 0 if it was deleted meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
