"""Fixtures of all tests of the studio: the texts of toasts, jobs, and progress that a short job shows, too."""

import gradio as gr
import pytest

from core.system.jobs import Jobs
from studio import job_progress


@pytest.fixture
def toasts(monkeypatch):
    """Collect the texts of toasts, which need a page to be shown."""
    texts: list[str] = []
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(gr, kind, lambda text, **_: texts.append(text))
    return texts


@pytest.fixture
def frequent_updates(monkeypatch):
    """Update the progress so often that the shortest job shows it: a job of a fast machine ends within 0.2 seconds."""
    monkeypatch.setattr(job_progress, "UPDATE_SECONDS", 0.002)


@pytest.fixture
def jobs(frequent_updates):
    made = Jobs()
    yield made
    made.close()
