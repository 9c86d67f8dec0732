"""Streams of the process that cannot print every character."""

import io
import sys

import pytest

from core.system.streams import escape_unprintable


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_ascii_stream_escapes_what_it_cannot_print(monkeypatch, name):
    held = io.BytesIO()
    monkeypatch.setattr(sys, name, io.TextIOWrapper(held, encoding="ascii"))
    escape_unprintable()
    print("naïve ✓", file=getattr(sys, name), flush=True)
    assert held.getvalue() == b"na\\xefve \\u2713\n"
