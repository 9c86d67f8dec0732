"""Search for e-mail addresses, phone numbers, keys and tokens in texts.

Keys and tokens are found by detect-secrets, whose detectors know the formats of two dozen services; those that guess
by entropy or by names of variables are left out, because in texts of conversations they find little else than noise.
Four more formats are added here. E-mail addresses and phone numbers are found by patterns of bounded length. Names of
people and postal addresses are not searched for: that takes a language model, and remains uncertain.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel

from core.data.formats import Message
from core.data.subset import Record

Kind = Literal["e-mail address", "phone number", "key or token"]
# Findings that are kept with their rows; all are counted.
MAX_LISTED = 200
# A text is searched in windows, because some patterns of detect-secrets take quadratic time; so the time is linear, and
# at most about 4 seconds per megabyte of hostile text. A finding that is shorter than the overlap is in one of two
# windows as a whole.
_WINDOW, _OVERLAP = 8_000, 500
_EMAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,5}[A-Za-z]{2,24}\b", re.ASCII)
# Reserved for examples (RFC 2606 and 6761).
_EXAMPLE_HOST = re.compile(r"(?:^|[@.])(?:example\.(?:com|org|net)|(?:example|test|invalid|localhost))$", re.IGNORECASE)
_PHONES = (
    # International: a plus sign, the country, and groups of digits.
    re.compile(r"(?<![\w+])\+[1-9]\d{0,2}(?:[ ./-]{0,2}\(?\d{1,5}\)?){2,7}(?!\w)", re.ASCII),
    # North America: three, three and four digits.
    re.compile(r"(?<![\w(./-])\(?[2-9]\d{2}\)?[ .-]{1,2}[2-9]\d{2}[ .-]\d{4}(?![\w-])", re.ASCII),
    # Elsewhere: a leading zero and groups of digits.
    re.compile(r"(?<![\w+./-])\(?0[1-9]\d{1,4}\)?[ /-]{1,3}\d{2,8}(?:[ /-]\d{2,5}){0,3}(?![\w/-])", re.ASCII),
)
_MIN_DIGITS, _MAX_DIGITS = 9, 15
# Numbers for films and books in North America.
_FICTIONAL = re.compile(r"55501\d\d$")
_MORE_KEYS = (
    ("Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,64}\b")),
    ("Google API key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}(?![\w-])")),
    ("Anthropic API key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,200}")),
)
# The detector of detect-secrets for these keys has no bound on what is before the mark, and takes 24 seconds per
# megabyte of "sk-sk-sk-". The keys of a project are 164 characters long.
_OPENAI_MARK = "T3BlbkFJ"
_OPENAI = re.compile(rf"sk-[A-Za-z0-9_-]{{0,200}}?[A-Za-z0-9]{{20}}{_OPENAI_MARK}[A-Za-z0-9]{{20}}")
_DETECTORS = (
    "artifactory", "aws", "azure_storage_key", "basic_auth", "cloudant", "discord", "github_token", "gitlab_token",
    "ibm_cloud_iam", "ibm_cos_hmac", "jwt", "mailchimp", "npm", "private_key", "pypi_token", "sendgrid",
    "slack", "softlayer", "square_oauth", "stripe", "telegram_token", "twilio",
)  # fmt: skip


class Finding(BaseModel):
    """Something that may have to be removed from a row.

    Attributes:
        row: Number of the row in the source.
        split: Split of the row.
        turn: Number of the turn, from 0.
        kind: Kind of the finding.
        what: Its kind more exactly, such as "AWS Access Key".
        shown: Its text with most characters hidden.
    """

    row: int
    split: str
    turn: int
    kind: Kind
    what: str
    shown: str


class Findings(BaseModel):
    """Result of a search.

    Attributes:
        rows: Rows that were searched.
        counts: Number of findings of each kind; the same text in one turn counts once.
        affected: Number of rows with a finding.
        listed: The first findings.
    """

    rows: int = 0
    counts: dict[Kind, int] = {}
    affected: int = 0
    listed: list[Finding] = []


def search_rows(records: Iterable[Record]) -> Findings:
    """Return what is found in the turns of rows."""
    result = Findings()
    for split, row, messages in records:
        result.rows += 1
        found = list(_search_turns(split, row, messages))
        result.affected += bool(found)
        for finding in found:
            result.counts[finding.kind] = result.counts.get(finding.kind, 0) + 1
        result.listed += found[: MAX_LISTED - len(result.listed)]
    return result


def _search_turns(split: str, row: int, messages: list[Message]) -> Iterator[Finding]:
    for turn, message in enumerate(messages):
        for kind, what, text in search_text(message["content"]):
            yield Finding(row=row, split=split, turn=turn, kind=kind, what=what, shown=_hide(kind, text))


def search_text(text: str) -> list[tuple[Kind, str, str]]:
    """Return the findings in a text: kind, exact kind, and the text that was found; each text once."""
    found: dict[str, tuple[Kind, str, str]] = {}
    for start in range(0, max(1, len(text) - _OVERLAP), _WINDOW - _OVERLAP):
        for finding in _search_window(text[start : start + _WINDOW]):
            found.setdefault(finding[2], finding)
    return list(found.values())


def _search_window(text: str) -> Iterator[tuple[Kind, str, str]]:
    for match in _EMAIL.finditer(text) if "@" in text else ():
        if not _EXAMPLE_HOST.search(match[0]):
            yield "e-mail address", "e-mail address", match[0]
    for pattern in _PHONES:
        for match in pattern.finditer(text):
            digits = re.sub(r"\D", "", match[0])
            if _MIN_DIGITS <= len(digits) <= _MAX_DIGITS and not _FICTIONAL.search(digits):
                yield "phone number", "phone number", match[0].strip()
    for name, pattern in _MORE_KEYS:
        for match in pattern.finditer(text):
            yield "key or token", name, match[0]
    for match in _OPENAI.finditer(text) if _OPENAI_MARK in text else ():
        yield "key or token", "OpenAI Token", match[0]
    for detector in _detectors():
        for secret in sorted(detector.analyze_string(text)):
            yield "key or token", detector.secret_type, secret


@functools.cache
def _detectors() -> list:
    """Return the detectors of detect-secrets that know a format."""
    from importlib import import_module

    from detect_secrets.plugins.base import RegexBasedDetector

    modules = [import_module(f"detect_secrets.plugins.{name}") for name in _DETECTORS]
    return [
        value()
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, RegexBasedDetector) and value.__module__ == module.__name__
    ]


def _hide(kind: Kind, text: str) -> str:
    """Return a finding with most of it hidden, enough to recognize it in its row."""
    if kind == "e-mail address":
        name, _, host = text.partition("@")
        return f"{name[0]}…@{host}"
    if kind == "phone number":
        return f"{text[:3]}…{text[-2:]}"
    return f"{text[: min(4, len(text) // 4)]}…"
