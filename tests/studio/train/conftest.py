"""What a handler of the tab says in a toast."""

import pytest


@pytest.fixture
def toasts(monkeypatch):
    import gradio as gr

    said: list[str] = []
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(gr, kind, lambda text, **_: said.append(text))
    return said
