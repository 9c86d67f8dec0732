"""Fixtures of all tests of the studio: the texts of the toasts that handlers show."""

import gradio as gr
import pytest


@pytest.fixture
def toasts(monkeypatch):
    """Collect the texts of toasts, which need a page to be shown."""
    texts: list[str] = []
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(gr, kind, lambda text, **_: texts.append(text))
    return texts
