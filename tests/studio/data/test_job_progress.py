import threading

import gradio as gr
import pytest

from core.errors import StudioError
from core.system.jobs import Job
from studio.job_progress import cancel, follow


def ended(**values) -> Job:
    job = Job(3, "x", "Doing it", **values)
    job.ended.set()
    return job


def test_what_is_done_gives_what_follows():
    assert list(follow(ended(status="done", result=7), 2, lambda job: [job.result, "b"])) == [
        [gr.update(visible=False), "", None, 7, "b"]
    ]


def test_a_job_under_way_moves_its_bar_until_it_ends():
    job = Job(3, "x", "Doing it", share=0.25, words="Half of it")
    stream = follow(job, 1, lambda job: ["over"])
    first = next(stream)
    assert "25 %" in first[1]
    assert first[2:] == [3, gr.skip()]
    job.status = "done"
    threading.Timer(0.05, job.ended.set).start()
    *_, last = stream
    assert last[-1] == "over"


def test_failure_and_cancelling_take_the_bar_away(toasts):
    stream = follow(ended(status="failed", error="No room."), 1, lambda job: ["never"])
    assert next(stream)[:3] == [gr.update(visible=False), "", None]
    with pytest.raises(StudioError, match="No room"):
        next(stream)
    assert len(list(follow(ended(status="cancelled"), 1, lambda job: ["never"]))) == 1
    assert "Nothing was left behind" in toasts[0]


def test_cancelling_what_is_not_there_is_nothing(jobs):
    assert cancel(jobs, None) is None
    assert cancel(jobs, 99) is None
