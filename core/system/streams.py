"""Standard streams that print every character, whatever encoding the terminal asks for, and no control characters."""

import io
import re
import sys

# Control characters except tab and newline: C0, DEL and C1, which begin the escape sequences of terminals, and the
# Unicode characters that end a line or change the direction of its text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def escape_controls(text: str) -> str:
    r"""Return a text with its control characters as `\u001b`, which is the same character in JSON."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class EscapingStream(io.TextIOWrapper):
    """Text stream that escapes control characters: a log may quote what a stranger has sent or named."""

    def write(self, text: str) -> int:
        """Write a text. A carriage return at its start, as a progress bar writes it, is not escaped."""
        start = text[: text.startswith("\r")]
        super().write(start + escape_controls(text.removeprefix("\r")))
        return len(text)

    def isatty(self) -> bool:
        """Return False, so that libraries print no colors, which are escape sequences."""
        return False


def escape_unprintable() -> None:
    """Escape characters that the encodings of stdout and stderr lack, instead of raising UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def escape_controls_of_logs() -> None:
    """Escape control characters in all that this process and its libraries print from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, EscapingStream):
            stream.flush()
            # The former stream stays as `sys.__stdout__`, so that nothing closes the buffer that both write to.
            options = {"encoding": stream.encoding, "errors": stream.errors, "line_buffering": stream.line_buffering}
            setattr(sys, name, EscapingStream(stream.buffer, **options))
