"""Decompression of gzip and Zstandard files in bounded memory, time and size.

Each byte of the file is read a constant number of times, and the decompressed size is bounded twice: by the ratio to
the compressed size, which stops a decompression bomb early, and by the file size that `core.system.process_limits`
allows the process. The first bytes show whether a file is what its name promises; an archive inside the file is
reported, not read.
"""

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from core.data.readers.file_kinds import GZIP, HEAD_BYTES, ZSTANDARD, FileKind, kind_of_bytes, kind_of_file
from core.errors import StudioError, reason_of
from core.system.process_limits import size_limit

COMPRESSED = (".gz", ".zst")
# gzip reaches 1,032:1 on a repeated byte, Zstandard 32,768:1; written text stays below 50:1.
MAX_RATIO = 1000
# Up to this size any ratio is allowed: small files of repeated rows are harmless.
RATIO_FREE_BYTES = 64 * 2**20
# Window of `zstd --long=31`, the largest that the command line tool can write.
MAX_WINDOW_BYTES = 2**31
_CHUNK = 2**20
_OWN = {".gz": GZIP, ".zst": ZSTANDARD}
# Magic number of a skippable frame; its low four bits are free (RFC 8878, section 3.1.2).
_SKIPPABLE_FRAME = 0x184D2A50


class Unpacked(io.RawIOBase):
    """Bytes of a text file, decompressed if its name ends in .gz or .zst.

    Attributes:
        file: The file on disk.
        size: Number of bytes decompressed so far.
    """

    def __init__(self, path: Path, name: str):
        self._path = path
        self._name, self._packing = name, next((end for end in COMPRESSED if name.lower().endswith(end)), "")
        self.size, self._packed_size = 0, path.stat().st_size
        self.file: BinaryIO = path.open("rb")
        try:
            self._check_kind(self.file.read(HEAD_BYTES))
            self.file.seek(0)
            self._source = self._open()
        except BaseException:
            self.file.close()
            raise

    def _open(self) -> Any:
        if self._packing == ".gz":
            return gzip.GzipFile(fileobj=self.file)
        if self._packing == ".zst":
            try:
                _check_frames(self.file, self._packed_size)
            except (EOFError, zstandard.ZstdError) as error:
                raise self._damaged(error) from error
            self.file.seek(0)
            unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
            return unpacker.stream_reader(self.file, read_across_frames=True, closefd=False)
        return self.file

    def _check_kind(self, head: bytes) -> None:
        found = kind_of_bytes(head)
        if self._packing and self.size == 0 and found != _OWN[self._packing]:
            if self._packing == ".zst" and int.from_bytes(head[:4], "little") & ~0xF == _SKIPPABLE_FRAME:
                return
            what = self._named(found).name if found else "not compressed"
            advice = "Name it by what it holds" if found else f"Take {self._packing} off its name"
            raise StudioError(f"{self._name!r} is {what}, although its name ends in {self._packing}. {advice}.")
        if found and (not self._packing or self.size):
            subject = f"{self._name!r} holds" if self._packing else f"{self._name!r} is"
            found = self._named(found)
            raise StudioError(f"{subject} {found.name}, although its name says text. {found.advice}.")
        # Text has no signature, so everything else passes here and is decoded as text.

    def _named(self, found: FileKind) -> FileKind:
        """Return what an archive or an old Office file on disk holds; other kinds as they are."""
        return found if self.size else kind_of_file(found, self._path)

    def _damaged(self, error: Exception) -> StudioError:
        return StudioError(
            f"{self._name!r} cannot be unpacked ({reason_of(error)}). Compress it again, or upload it as it is."
        )

    def readable(self) -> bool:
        """Return True; io.BufferedReader asks for it."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read decompressed bytes into a buffer and return their number.

        Raises:
            StudioError: The file is damaged, decompresses to too many bytes, or contains an archive.
        """
        try:
            data = self._source.read(len(buffer))
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise self._damaged(error) from error
        buffer[: len(data)] = data
        first = self.size == 0
        self.size += len(data)
        if self._packing:
            if first and data:
                self._check_kind(bytes(data[:HEAD_BYTES]))
            self._check_size()
        return len(data)

    def _check_size(self) -> None:
        if self.size > max(RATIO_FREE_BYTES, MAX_RATIO * self._packed_size):
            raise StudioError(
                f"{self._name!r} decompresses to more than {MAX_RATIO:,} times its size ({self._packed_size:,} bytes). "
                "If that is intended, upload it without compression."
            )
        check_total(self._name, self.size)

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        super().close()


def check_total(name: str, size: int) -> None:
    """Raise StudioError if `size` bytes are more than this process may read from one file."""
    limit = size_limit()
    if limit is not None and size > limit:
        raise StudioError(
            f"{name!r} decompresses to more than {limit:,} bytes (STUDIO_QUOTA_PARSE_DISK_GIB). Split it first."
        )


def buffered(raw: Unpacked) -> io.BufferedReader:
    """Return a buffered reader, whose chunks bound the size of each decompression."""
    return io.BufferedReader(raw, _CHUNK)


def _check_frames(file: BinaryIO, size: int) -> None:
    """Check that a Zstandard file is complete by its frame and block headers (RFC 8878, section 3.1).

    The library's stream reader accepts a truncated file as complete. One read per block and none of its content makes
    this linear in the number of blocks.

    Args:
        file: The file.
        size: Its size in bytes.

    Raises:
        EOFError: The last frame is not complete.
        zstandard.ZstdError: Something other than a frame follows.
    """
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(18)
        if len(head) >= 8 and int.from_bytes(head[:4], "little") & ~0xF == _SKIPPABLE_FRAME:
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        if len(head) < 5 and head[:4] == zstandard.FRAME_HEADER[: len(head)]:
            raise EOFError("the file ends early")
        at += zstandard.frame_header_size(head)
        has_checksum = zstandard.get_frame_parameters(head).has_checksum
        last = False
        while not last:
            file.seek(at)
            block = file.read(3)
            if len(block) < 3:
                raise EOFError("the file ends early")
            word = int.from_bytes(block, "little")
            last, is_run = bool(word & 1), (word >> 1) & 3 == 1
            # A run-length block stores a single byte, whatever its size.
            at += 3 + (1 if is_run else word >> 3)
        at += 4 if has_checksum else 0
    if at > size:
        raise EOFError("the file ends early")
