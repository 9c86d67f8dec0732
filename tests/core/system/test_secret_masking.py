"""Secrets are masked in logs, tracebacks and messages."""

import json
import logging

import pytest

from core.system.secret_masking import MASK, log_event, mask_logs, masked
from studio.handlers import to_page_error


@pytest.mark.parametrize(
    "text",
    ["hf_abcdefghijklmnopqrstuvwxyz", "Authorization: Bearer abc.def-ghi", "https://me:pass@huggingface.co/x",
     "sk-abcdefghijklmnopqrst", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "ghp_abcdefghijklmnopqrstuvwxyz"],
)  # fmt: skip
def test_masked_hides_known_tokens(text):
    assert MASK in masked(f"before {text} after")
    assert not any(part in masked(text) for part in ("abcdef", "pass@", "abc.def", "eyJ"))


def test_masked_hides_values_of_secret_variables(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("STUDIO_PASSWORD", "open sesame")
    assert masked("key=0123456789abcdef, open sesame!") == f"key={MASK}, {MASK}!"


def test_masked_keeps_ordinary_text():
    text = "row 12: the token count of hf_model is 34; secretary, password: none"
    assert masked(text) == text


def test_job_traceback_is_masked(monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_verysecretindeed12345")
    to_page_error(RuntimeError("sent hf_verysecretindeed12345 to the Hub"))
    reported = capsys.readouterr().err
    assert "RuntimeError" in reported
    assert "verysecret" not in reported


def test_library_logs_are_masked(monkeypatch, capsys):
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        mask_logs()
        logging.getLogger("huggingface_hub").warning("using %s", "hf_abcdefghijklmnopqrstuvwxyz")
    finally:
        logging.getLogger().removeHandler(handler)
    assert "abcdefghijk" not in capsys.readouterr().err


def test_log_event_prints_json_if_enabled(monkeypatch, capsys):
    log_event("quiet")
    monkeypatch.setenv("STUDIO_LOG", "json")
    log_event("call", call="start", token="hf_abcdefghijklmnopqrstuvwxyz")
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "call"
    assert line["token"] == MASK
