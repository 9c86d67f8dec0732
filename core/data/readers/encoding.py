"""Detection of the encoding of a text file, once for the whole file.

1. A byte order mark decides (UTF-8, UTF-16, UTF-32); zeros in every second byte mean UTF-16 without a mark.
2. A file that is valid UTF-8 is UTF-8.
3. Otherwise the bytes that are not UTF-8 are counted. If they outnumber the bytes that continue valid UTF-8
   characters, and at most a tenth of the bytes above 0x7F are in runs of three or more, the file is read as
   Windows-1252, the superset of Latin-1 that Excel and Windows write, and a note reports it. Runs are counted only in
   those chunks of the file (1 MiB) that contain invalid bytes.
4. In all other cases the file is read as UTF-8, and each line with broken bytes is reported and left out. Either it is
   damaged UTF-8, or it has an encoding (Cyrillic, Greek, East Asian) that Windows-1252 would turn into wrong letters.
   In the second case a note names the likely encoding with a line of the text, or those under which the bytes are
   valid, and how to convert the file. The bytes do not prove which of them is right, so the file is never read by a
   guess.
"""

import codecs
import re
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from core.data.readers.alphabets import describe_bytes

_CHUNK = 2**20
# Byte order marks. UTF-32 comes before UTF-16, whose mark is the beginning of that of UTF-32.
_MARKS = {
    codecs.BOM_UTF32_LE: ("utf-32-le", "UTF-32"),
    codecs.BOM_UTF32_BE: ("utf-32-be", "UTF-32"),
    codecs.BOM_UTF8: ("utf-8", "UTF-8"),
    codecs.BOM_UTF16_LE: ("utf-16-le", "UTF-16"),
    codecs.BOM_UTF16_BE: ("utf-16-be", "UTF-16"),
}
_RUN = re.compile(rb"[\x80-\xff]{3,}")
_HIGH = re.compile(rb"[\x80-\xff]")
_BROKEN = re.compile("[\udc00-\udcff]")
_LEFT_OUT = " is not UTF-8, and its other lines are left out. "
# Western European texts have few runs of several non-ASCII letters; other scripts consist of them.
_MAX_SHARE_IN_RUNS = 0.1
ERRORS = "studio_escape"


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Decode each invalid byte as the lone surrogate U+DC00 + byte, which no decoder produces otherwise."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(ERRORS, _escape)


class Encoding(NamedTuple):
    """Encoding of a file.

    Attributes:
        codec: Name of the encoding in Python.
        label: Name of the encoding for the user.
        mark_bytes: Length of the byte order mark in bytes.
        has_broken: Whether the file may contain invalid bytes; `broken` searches for them only then.
        note: Sentence about the choice for the user; "" for none.
    """

    codec: str
    label: str
    mark_bytes: int = 0
    has_broken: bool = True
    note: str = ""

    def broken(self, text: str) -> str | None:
        """Return the trouble of a text with invalid bytes, or None."""
        if not self.has_broken or text.isascii() or not (found := _BROKEN.search(text)):
            return None
        return f"is not {self.label} text (byte {ord(found[0]) - 0xDC00:#04x})"


def detect(stream: BinaryIO, name: str) -> Encoding:
    """Detect the encoding of a file by the rules above.

    Args:
        stream: The decompressed file, which is read to its end.
        name: Name of the file in the note.
    """
    head = stream.read(_CHUNK)
    for mark, (codec, label) in _MARKS.items():
        if head.startswith(mark):
            return Encoding(codec, label, len(mark))
    if codec := _unmarked_utf16(head):
        return Encoding(codec, "UTF-16", note=f"{name!r} is read as UTF-16, although it has no byte order mark")
    continued, broken, high, in_runs = _count(head, stream)
    if not broken:
        return Encoding("utf-8", "UTF-8", has_broken=False)
    if broken > continued and in_runs <= _MAX_SHARE_IN_RUNS * high:
        note = f"{name!r} is not UTF-8: it is read as Windows-1252 (Western European). Check letters with accents"
        return Encoding("cp1252", "Windows-1252", note=note)
    return Encoding("utf-8", "UTF-8", note=_conversion_advice(head, name) if broken > continued else "")


def _conversion_advice(head: bytes, name: str) -> str:
    """Return a note on a file that is neither UTF-8 nor Western European: what it may be, and how to convert it."""
    # The last line of the head may end within a character.
    sample = head[: head.rfind(b"\n") + 1] or head
    words, source = describe_bytes(sample)
    return f"{name!r}{_LEFT_OUT}{words}{' ' * bool(words)}Convert it: iconv -f {source or 'ENCODING'} -t UTF-8"


def advice_in(notes: Sequence[str]) -> str:
    """Return the advice how to convert the encoding of a file from its notes; "" if there is none."""
    return next((note.partition(_LEFT_OUT)[2] for note in notes if _LEFT_OUT in note), "")


def _unmarked_utf16(head: bytes) -> str | None:
    sample = head[:2000]
    pairs = len(sample) // 2
    if pairs < 2:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > 0.6 * pairs and even < 0.1 * pairs:
        return "utf-16-le"
    return "utf-16-be" if even > 0.6 * pairs and odd < 0.1 * pairs else None


def _count(head: bytes, stream: BinaryIO) -> tuple[int, int, int, int]:
    """Count continuation bytes of valid UTF-8, invalid bytes, bytes above 0x7F, and those in runs of three or more.

    The last two are counted only in chunks that contain invalid bytes.
    """
    continued = broken = high = in_runs = 0
    decoder = codecs.getincrementaldecoder("utf-8")(ERRORS)
    pending, chunk, is_last = b"", head, False
    while not is_last:
        following = stream.read(_CHUNK)
        is_last = not following
        # The two fast paths: a chunk of ASCII needs no decoding, and valid UTF-8 is decoded by C code in one call.
        if not pending and chunk.isascii():
            chunk = following
            continue
        try:
            text = (pending + chunk).decode("utf-8")
            continued += len(pending) + len(chunk) - len(text)
            pending = b""
        except UnicodeDecodeError:
            # A character may be split between two chunks: its first bytes wait in `pending`.
            whole = pending + chunk
            text = decoder.decode(whole, is_last)
            pending = decoder.getstate()[0]
            decoder.reset()
            whole = whole[: len(whole) - len(pending)]
            continued += len(whole) - len(text)
            if found := len(_BROKEN.findall(text)):
                broken += found
                high += len(_HIGH.findall(whole))
                in_runs += sum(map(len, _RUN.findall(whole)))
        chunk = following
    return continued, broken, high, in_runs
