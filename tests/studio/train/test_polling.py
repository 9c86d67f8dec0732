import gradio as gr
import pytest

from core.runs.metrics_series import Timelines
from core.runs.store import Label
from studio.train.compare import ComparisonState, RunComparison
from studio.train.controls import RunControls
from studio.train.polling import DRAWN, Beat
from studio.train.run_view import RunView
from tests.helpers.run_events import EVENTS, write

SKIP = gr.skip()


@pytest.fixture
def do(runs):
    timelines = Timelines()
    return Beat(RunControls(runs), RunView(runs, timelines), RunComparison(runs, timelines))


def beat(do, run_id, seen="", listed="", on_all=False):
    return do.beat(seen, listed, run_id, False, "learning rate", None, None, ComparisonState(), "loss", on_all)


def test_a_beat_without_news_skips_everything(do, a_run):
    run = a_run(EVENTS)
    seen, listed, *rest = beat(do, run.id)
    assert SKIP not in rest[: 2 + DRAWN]
    assert beat(do, run.id, seen, listed) == [SKIP] * (4 + DRAWN + 3)


def test_a_new_step_draws_the_run_and_leaves_the_list(do, a_run):
    run = a_run(EVENTS)
    seen, listed, *_ = beat(do, run.id)
    write(run, [EVENTS[3] | {"step": 3}])
    now, there, choices, queue, *rest = beat(do, run.id, seen, listed)
    assert now != seen
    assert (there, choices, queue) == (SKIP, SKIP, SKIP)
    assert "3 / 10" in rest[1]
    assert rest[DRAWN:] == [SKIP] * 3, "nobody sees the table"
    assert SKIP not in beat(do, run.id, seen, listed, on_all=True)[4 + DRAWN :]


def test_another_name_is_news_to_the_list_and_to_the_watch(do, a_run):
    run = a_run(EVENTS)
    seen, listed, *_ = beat(do, run.id)
    run.save_label(Label(name="first"))
    now, there, choices, *_ = beat(do, run.id, seen, listed)
    assert now != seen
    assert there != listed
    assert choices["choices"][0][0].startswith("first")


def test_a_run_that_another_page_deleted_gives_its_place_to_the_next(do, a_run):
    left = a_run(EVENTS)
    seen, _, choices, *rest = beat(do, "20200101-000000-gone", "something", "something")
    assert seen == ""
    assert choices["value"] == left.id
    assert "No run yet" in rest[1]


def test_what_is_drawn_fits_its_outputs(do, a_run):
    run = a_run(EVENTS)
    assert len(do.drawn(run.id, "learning rate", None, None)) == DRAWN
    assert len(do.drawn(None, "learning rate", None, None)) == DRAWN
    assert len(do.opened(run.id, "learning rate")) == 2 + DRAWN + 4
    assert len(beat(do, None)) == 4 + DRAWN + 3
