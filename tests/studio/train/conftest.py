"""Fixtures of the Train tab: the texts of the toasts that handlers show."""

import pytest


@pytest.fixture
def toasts(monkeypatch):
    import gradio as gr

    texts: list[str] = []
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(gr, kind, lambda text, **_: texts.append(text))
    return texts
