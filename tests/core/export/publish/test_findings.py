"""Search for personal data and secrets: what is found, what is not, and that hostile texts take no long time."""

import time

import pytest

from core.export.publish.findings import MAX_LISTED, search_rows, search_text

# Joined here, so that no scanner takes this file for one with secrets.
AWS, SLACK = "AKIA" + "QYLPMN5HNM4OLPZX", "-".join(["xoxb", "123456789012", "1234567890123", "a1B2" * 6])
HF, GOOGLE, STRIPE = "hf_" + "aB3" * 12, "AIza" + "Sy0" * 11 + "Ab", "sk_" + "live_" + "9zX" * 8
KEY = "-----BEGIN " + "RSA PRIVATE KEY-----"
OPENAI, PROJECT = (f"sk-{part}" + "b7" * 10 + "T3Blbk" + "FJ" + "c9" * 10 for part in ("", "proj-my_own-x-"))
# Twice the slowest that was measured, "eyJ", on a processor without AVX-512; the processor may be shared.
_SECONDS_PER_MB = 15


@pytest.mark.parametrize(("text", "kind", "found"), [
    ("Write to jane.doe+x@mail.some-host.co.uk, please.", "e-mail address", "jane.doe+x@mail.some-host.co.uk"),
    ("mailto:a@b.de", "e-mail address", "a@b.de"),
    ("Call +49 (0)89 1234-5678 today", "phone number", "+49 (0)89 1234-5678"),
    ("+4915112345678", "phone number", "+4915112345678"),
    ("(212) 664-7665", "phone number", "(212) 664-7665"),
    ("tel 212-664-7665.", "phone number", "212-664-7665"),
    ("089 / 1234 5678", "phone number", "089 / 1234 5678"),
    (f"key={AWS}", "key or token", AWS),
    (f"token {HF} here", "key or token", HF),
    (f"'{GOOGLE}'", "key or token", GOOGLE),
    (STRIPE, "key or token", STRIPE),
    (SLACK, "key or token", SLACK),
    (f"key {OPENAI}.", "key or token", OPENAI),
    (f"sk-sk-{PROJECT}", "key or token", f"sk-sk-{PROJECT}"),
    (f"{KEY}\nMIIE", "key or token", "BEGIN RSA PRIVATE KEY"),
    ("x " * 3995 + "and jane@host.org in two windows " + "y " * 9000, "e-mail address", "jane@host.org"),
])  # fmt: skip
def test_personal_data_and_secrets_are_found(text, kind, found):
    assert [(one[0], one[2]) for one in search_text(text)] == [(kind, found)]


@pytest.mark.parametrize("text", [
    "", "The 1994-2024 table has 1,234,567,890 rows.", "2024-01-31 12:34:56", "01-02-2003", "3.14159265358979",
    "user@example.com and me@test", "(212) 555-0142", "ISBN 978-3-16-148410-0", "192.168.178.100", "a@b",
    "https://host/path/2126647665", "0123456789abcdef0123456789abcdef", "f(x) = 10 000 000 000", "@me: 5 of 10",
    "The quick brown fox jumps over the lazy dog.",
])  # fmt: skip
def test_ordinary_texts_have_no_finding(text):
    assert search_text(text) == []


@pytest.mark.parametrize("part", [
    "https://", "eyJ", "a@", "+1 ", "1 ", "0123 ", "a.", "sk-", "sk-ant-", f"{'sk-' * 2500}{OPENAI[23:31]}", "'\"",
    "(212) ", "@a-a.", "1-", KEY, "-----BEGIN ", "//registry", "https://a:a@a", "\n",
])  # fmt: skip
def test_hostile_text_takes_linear_time(part):
    text = part * (200_000 // len(part))
    started = time.process_time()
    search_text(text)
    assert time.process_time() - started < _SECONDS_PER_MB * len(text) / 1e6


def test_findings_are_counted_by_row_and_hidden():
    rows = [
        ("train", 7, [{"role": "user", "content": "I am jane@host.org"}, {"role": "assistant", "content": "Hi"}]),
        ("held-out", 9, [{"role": "user", "content": f"jane@host.org jane@host.org {AWS}"}]),
        ("train", 10, [{"role": "user", "content": "Nothing"}]),
    ]
    found = search_rows(rows)
    assert (found.rows, found.affected) == (3, 2)
    assert found.counts == {"e-mail address": 2, "key or token": 1}
    assert [(one.row, one.split, one.turn, one.what, one.shown) for one in found.listed] == [
        (7, "train", 0, "e-mail address", "j…@host.org"), (9, "held-out", 0, "e-mail address", "j…@host.org"),
        (9, "held-out", 0, "AWS Access Key", "AKIA…"),
    ]  # fmt: skip


def test_list_of_findings_is_bounded():
    rows = (("train", row, [{"role": "user", "content": f"u{row}@host.org"}]) for row in range(MAX_LISTED + 50))
    found = search_rows(rows)
    assert found.counts == {"e-mail address": MAX_LISTED + 50}
    assert len(found.listed) == MAX_LISTED
