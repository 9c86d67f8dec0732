"""Standard streams that print every character, whatever encoding the terminal asks for."""

import io
import sys


def escape_unprintable() -> None:
    """Escape characters that the encodings of stdout and stderr lack, instead of raising UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
