"""Masking of secrets in all text that leaves the process: logs, messages, tracebacks.

Masked are the values of environment variables whose names say that they hold a secret, values that a call was given as
a secret (`mask_value`), and text in the form of a known kind of token.
"""

import json
import logging
import os
import re
import sys
import time
from typing import Any

from core.system.streams import escape_controls

MASK = "•••"
_NAMED = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL)", re.IGNORECASE)
# A shorter value would mask ordinary words.
_MIN_SECRET_CHARACTERS = 6
# Known kinds of tokens: Hugging Face, OpenAI and the like, GitHub, AWS, JSON Web Tokens.
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|hf_oauth_[\w.-]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|AKIA[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{4,})"
)
_BEARER = re.compile(r"(?i)\b(authorization\W{1,4}(?:bearer|basic)|bearer)\s+[\w.~+/=-]{6,}")
_IN_URL = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


# Secrets that calls were given; they are in this process's memory and nowhere else.
_given: dict[str, None] = {}
_MAX_GIVEN = 100


def mask_value(secret: str) -> None:
    """Mask a secret from now on in whatever leaves this process; the newest of many are remembered."""
    if len(secret) >= _MIN_SECRET_CHARACTERS:
        _given.pop(secret, None)
        _given[secret] = None
        while len(_given) > _MAX_GIVEN:
            del _given[next(iter(_given))]


def masked(text: str) -> str:
    """Return the text with secret values and tokens replaced by `MASK`."""
    values = {
        value for name, value in os.environ.items() if _NAMED.search(name) and len(value) >= _MIN_SECRET_CHARACTERS
    }
    values |= set(_given)
    # Longest first, because one secret may contain another.
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    text = _TOKENS.sub(MASK, text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    return _IN_URL.sub(MASK, text)


class _Masking(logging.Filter):
    """Logging filter that masks the formatted message and lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), ()
        return True


def mask_logs() -> None:
    """Mask what any library logs from now on."""
    root = logging.getLogger()
    handlers = [*root.handlers, *(h for name in ("uvicorn", "uvicorn.error") for h in logging.getLogger(name).handlers)]
    for handler in handlers or [logging.lastResort]:
        handler.addFilter(_Masking())


def log_event(kind: str, **facts: Any) -> None:
    """Print an event as one JSON line on stderr if STUDIO_LOG is "json"."""
    if os.environ.get("STUDIO_LOG") == "json":
        line = {"time": round(time.time(), 3), "event": kind, **facts}
        text = json.dumps(line, ensure_ascii=False, default=str)
        print(escape_controls(masked(text)), file=sys.stderr, flush=True)
