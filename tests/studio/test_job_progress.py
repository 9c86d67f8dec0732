"""Jobs followed by the page until they end."""

import threading

import gradio as gr
import pytest

from core.errors import StudioError
from core.system.jobs import Job
from studio.job_progress import cancel, follow

HIDDEN = {"progress_row": gr.update(visible=False), "progress": "", "job": None}


def ended(**values) -> Job:
    job = Job(3, "x", "Doing it", **values)
    job.ended.set()
    return job


def test_follow_finished_job_yields_its_result_and_hides_the_bar():
    job = ended(status="done", result=7)
    assert list(follow(job, lambda job: {"result": job.result})) == [{**HIDDEN, "result": 7}]


def test_follow_running_job_shows_progress_until_it_ends():
    job = Job(3, "x", "Doing it", share=0.25, stage="Half of it")
    stream = follow(job, lambda job: {"result": "over"})
    first = next(stream)
    assert "25 % · 0 s" in first["progress"]
    assert first["job"] == 3
    assert "result" not in first
    job.status = "done"
    threading.Timer(0.05, job.ended.set).start()
    *_, last = stream
    assert last["result"] == "over"


def test_follow_yields_only_what_changed_and_the_time(monkeypatch):
    monkeypatch.setattr("studio.job_progress.UPDATE_SECONDS", 0.01)
    job = Job(3, "x", "Doing it", stage="Half of it")
    threading.Timer(0.3, job.ended.set).start()
    *bars, _ = follow(job, lambda job: {}) if not setattr(job, "status", "done") else ()
    assert len(bars) == 1, "nothing changed within the first second"
    job = Job(3, "x", "Doing it", began=job.began - 75)
    assert "1 min 15 s" in next(follow(job, lambda job: {}))["progress"]


def test_follow_failed_job_hides_the_bar_and_raises():
    stream = follow(ended(status="failed", error="No room."), lambda job: {"result": "never"})
    assert next(stream) == HIDDEN
    with pytest.raises(StudioError, match="No room"):
        next(stream)


def test_follow_cancelled_job_hides_the_bar_and_informs(toasts):
    assert list(follow(ended(status="cancelled"), lambda job: {"result": "never"})) == [HIDDEN]
    assert "No partial result was kept" in toasts[0]


def test_cancel_unknown_job_does_nothing(jobs):
    assert cancel(jobs, None) is None
    assert cancel(jobs, 99) is None
