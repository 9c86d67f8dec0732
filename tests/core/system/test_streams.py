"""Streams of the process that cannot print every character."""

import io
import json
import sys

import pytest

from core.system.streams import escape_controls, escape_controls_of_logs, escape_unprintable


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_ascii_stream_escapes_what_it_cannot_print(monkeypatch, name):
    held = io.BytesIO()
    monkeypatch.setattr(sys, name, io.TextIOWrapper(held, encoding="ascii"))
    escape_unprintable()
    print("naïve ✓", file=getattr(sys, name), flush=True)
    assert held.getvalue() == b"na\\xefve \\u2713\n"


# A title of the terminal, its colors, the 8-bit form of both, a line that is overwritten, and a reversed line.
HOSTILE = [
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[31m",
    "\x9b2J",
    "\x9d0;owned\x9c",
    "a\rb",
    "\x7f\x08\x00",
    "\u2028x",
    "\u202ex",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_are_escaped_as_in_json(text):
    escaped = escape_controls(f"{text}\té ✓ 🙂\n")
    assert escaped.removesuffix("\té ✓ 🙂\n").isprintable()
    assert json.loads(f'"{escape_controls(text)}"') == text


def test_logs_hold_no_control_character_whoever_prints(monkeypatch):
    held = {name: io.BytesIO() for name in ("stdout", "stderr")}
    former = {name: io.TextIOWrapper(each, encoding="utf-8", line_buffering=True) for name, each in held.items()}
    for name, stream in former.items():
        monkeypatch.setattr(sys, name, stream)
    for _ in range(2):
        escape_controls_of_logs()
    for name, bytes_held in held.items():
        stream = getattr(sys, name)
        for text in HOSTILE:
            print(text, "é", file=stream)
        print("\r 50%", end="", file=stream, flush=True)
        printed = bytes_held.getvalue().decode()
        assert printed.count("\n") == len(HOSTILE)
        assert printed.endswith("\n\r 50%")
        assert printed.removesuffix("\r 50%").replace("\n", "").isprintable()
        assert not stream.isatty()
