"""Every job of the page is shown, and can be cancelled, on pages that did not start it."""

from pathlib import Path

import gradio as gr
import pytest

from components.progress_bar import build_progress_bar
from core.access.roles import Caller, Role, acting
from core.settings import Settings
from core.system.jobs import Job, Jobs
from studio import app
from studio.job_bars import JobBars

# The bar that shows each kind of job, by the kind as it is started.
TABLE = {
    "open/x": "opening",
    "read/x": "opening",
    "tokens/x": None,
    "near/x": None,
    "losses/x/y": "losses-progress",
    "create-subset/x": "creating",
    "export/x-llama2": "exporting",
    "push/x": "exporting",
    "dry-run": "measuring",
    "scores/x": "evaluate-opening",
    "answers/x": "evaluate-opening",
    "classify/x": "classifier-progress",
    "judge/x": "judge-progress",
    "trace/x/y": "evaluate-tracing",
    "harness/x": "harness-progress",
    "evaluation-push/x": "evaluation-push-progress",
    "verify-run/x": "export-check-progress",
    "check-publish/x-final": "export-check-progress",
    "push-model/x/y": "hub-progress",
    "import-adapter/x": "import-progress",
}
# Shown with the form that it was started with, by `ExportJobs.watch`.
_ELSEWHERE = {"export-run/x"}


class PlannedJobs(Jobs):
    """Jobs without processes."""

    def __init__(self, *running: Job):
        super().__init__()
        self._jobs = {job.id: job for job in running}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The bars of the whole page, and the page."""
    made = []

    class Collected(JobBars):
        def __init__(self, jobs: Jobs):
            super().__init__(jobs)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "JobBars", Collected)
        demo = app.build(Settings(home=tmp_path_factory.mktemp("page") / "home", example=False).prepare())
    yield made[0], demo
    demo.jobs.close()


def end(job: Job, status: str, **values) -> None:
    job.status = status
    vars(job).update(values)
    job.ended.set()


def test_every_kind_of_job_that_the_page_starts_is_in_the_table():
    sources = [path.read_text() for path in Path(app.__file__).parent.rglob("*.py")]
    calls = sum(text.count("jobs.start(") for text in sources)
    # Two kinds of checks share a call, and the kinds of judges have one each.
    assert calls + 1 - 1 == len(TABLE) + len(_ELSEWHERE), "a new call of Jobs.start needs its kind in TABLE and a bar"


@pytest.mark.parametrize("kind", TABLE)
def test_job_of_another_page_is_shown_with_its_stage_and_can_be_cancelled(page, kind, toasts):
    bars, demo = page
    job = Job(7, kind, "Doing it", stage="Half of it", share=0.5)
    bars.jobs = PlannedJobs(job)
    watched = bars.watch()
    first = next(watched)
    (number,) = {int(name.split()[0]) for name in first}
    one = bars.bars[number]
    assert TABLE[kind] in (None, one.bar.row.elem_id)
    assert "Half of it" in first[f"{number} progress"]
    assert first[f"{number} job"] == 7
    assert first[f"{number} progress_row"]["visible"]
    box = one.bar.row.parent
    while box is not None and not isinstance(box, gr.Accordion):
        box = box.parent
    assert box in (None, one.box), "a closed part hides the bar"
    if box is not None:
        assert first[f"{number} box"]["open"]
    cancels = [fn for fn in demo.fns.values() if (one.bar.cancel._id, "click") in fn.targets]
    assert [[part._id for part in fn.inputs] for fn in cancels] == [[one.job._id]]
    end(job, "cancelled")
    *_, last = watched
    assert last[f"{number} progress_row"]["visible"] is False
    assert last[f"{number} job"] is None
    assert "It was cancelled" in toasts[0]


@pytest.fixture
def two_bars():
    running = [Job(number, f"{kind}/x", kind, stage="At it") for number, kind in ((1, "count"), (2, "push"))]
    bars = JobBars(PlannedJobs(*running))
    with gr.Blocks():
        for kind in ("count", "push"):
            text = gr.HTML()
            bars.add(build_progress_bar(kind), kind, shown={"text": text}, finish=lambda job: {"text": job.result})
    return bars, running


def test_watch_shows_results_and_failures_of_several_jobs(two_bars, frequent_updates, toasts):
    bars, (count, push) = two_bars
    watched = bars.watch()
    assert {"0 job", "1 job"} <= set(next(watched))
    end(push, "failed", error="No room.")
    assert next(watched)["1 job"] is None
    assert "No room." in toasts[0]
    end(count, "done", result="ten")
    assert next(watched) | {"0 progress_row": None} == {
        "0 progress_row": None, "0 progress": "", "0 job": None, "0 ended": 1, "0 text": "ten",
    }  # fmt: skip
    assert list(watched) == []


def test_watch_leaves_alone_what_the_page_shows_or_follows_already(two_bars):
    bars, (_, push) = two_bars
    assert set(next(bars.watch(job_0=1))) == {"1 progress_row", "1 progress", "1 job"}
    first = bars.watch()
    next(first)
    assert list(bars.watch()) == [], "the same page follows both"
    first.close()
    assert next(bars.watch(job_0=1))["1 job"] == push.id
    with acting(Caller(Role.VISITOR, "x")):
        assert list(bars.watch()) == []
