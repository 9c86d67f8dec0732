"""A page of the Data tab without a browser: its parts, a data set, and the lens that looks at it."""

import pytest

from core.system.jobs import Jobs
from studio.data.page_state import Lens
from tests.helpers.datasets import opened, talk


@pytest.fixture
def jobs():
    made = Jobs()
    yield made
    made.close()


@pytest.fixture
def data(settings, tmp_path):
    """60 rows: row 5 repeats row 4, row 7 cannot be used, row 9 holds markup."""
    said = [talk(f"question {i}", f"answer {i} " + "word " * i) for i in range(60)]
    said[5] = said[4]
    said[7] = [{"role": "user", "content": "alone"}]
    said[9] = talk("<img src=x onerror=alert(1)>", "<script>alert(1)</script>")
    rows = [{"messages": messages, "score": i, "kind": "ab"[i % 2]} for i, messages in enumerate(said)]
    return opened(settings, tmp_path, rows)


@pytest.fixture
def state(data):
    return Lens(dataset=data.id).model_dump()


@pytest.fixture
def toasts(monkeypatch):
    """What would be shown as toasts."""
    import gradio as gr

    said: list[str] = []
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(gr, kind, lambda text, **_: said.append(text))
    return said
