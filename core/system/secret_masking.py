"""Secrets live in the environment or in a call. Wherever text leaves the process, they are masked here."""

import json
import logging
import os
import re
import sys
import time
from typing import Any

MASK = "•••"
_NAMED = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL)", re.IGNORECASE)
_SHORTEST = 6  # of a value that is masked wherever it stands; a shorter one would mask ordinary words
# Tokens by their looks: Hugging Face, OpenAI and the like, GitHub, AWS, JSON Web Tokens.
_LOOKS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|hf_oauth_[\w.-]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|AKIA[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{4,})"
)
_BEARER = re.compile(r"(?i)\b(authorization\W{1,4}(?:bearer|basic)|bearer)\s+[\w.~+/=-]{6,}")
_IN_URL = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


def masked(text: str) -> str:
    """`text` without the values of secret environment variables, and without what looks like a token."""
    values = {value for name, value in os.environ.items() if _NAMED.search(name) and len(value) >= _SHORTEST}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    text = _LOOKS.sub(MASK, text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    return _IN_URL.sub(MASK, text)


class _Masking(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), ()
        return True


def mask_logs() -> None:
    """Whatever any library logs from here on is masked."""
    root = logging.getLogger()
    handlers = [*root.handlers, *(h for name in ("uvicorn", "uvicorn.error") for h in logging.getLogger(name).handlers)]
    for handler in handlers or [logging.lastResort]:
        handler.addFilter(_Masking())


def log_event(kind: str, **facts: Any) -> None:
    """One JSON line on stderr, where STUDIO_LOG=json."""
    if os.environ.get("STUDIO_LOG") == "json":
        line = {"time": round(time.time(), 3), "event": kind, **facts}
        print(masked(json.dumps(line, ensure_ascii=False, default=str)), file=sys.stderr, flush=True)
