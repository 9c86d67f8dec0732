"""What the watch shows of a run's files, and what it escapes."""

import csv
import html.parser
import zipfile

import psutil
import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.runs.config import QLoRAConfig
from core.runs.metrics_series import HELD_OUT, Timelines
from core.runs.progress import progress
from core.runs.store import Label, RunState
from studio.train.run_html import notes_html, status_html, tiles_html
from studio.train.run_view import MEASURES, NO_RUN, Watch
from tests.helpers.datasets import opened, talk
from tests.helpers.run_events import EVENTS, HOSTILE, PREPARED, parse, write

OWN_TAGS = {"div", "span", "i", "b", "small", "ul", "li", "p"}


@pytest.fixture
def do(runs):
    return Watch(runs, Timelines())


def tags_of(shown):
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, dict(attrs)))
    parser.feed(shown)
    parser.close()
    return found


def assert_inert(shown):
    tags = tags_of(shown)
    assert {tag for tag, _ in tags} <= OWN_TAGS
    assert {name for _, attrs in tags for name in attrs} <= {
        "class", "role", "style", "aria-valuenow", "aria-valuemin", "aria-valuemax", "aria-label", "dir"
    }  # fmt: skip


def shown_text(shown):
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_data = found.append
    parser.feed(shown)
    parser.close()
    return " ".join(found)


def test_tiles_show_the_last_figures_and_the_change_against_the_base():
    words = shown_text(tiles_html(progress(parse(EVENTS[:4]))))
    assert "3.250 loss" in words
    assert "4.000 held-out loss" in words
    assert "1.00e-03 learning rate" in words
    assert "1,500 tokens/s" in words
    assert "1 / 10 step" in words
    assert "against base" not in words, "the base itself is no change"
    assert "3.000 held-out loss (-25% against base)" in shown_text(tiles_html(progress(parse(EVENTS))))


def test_a_loss_that_is_no_number_is_said_and_nothing_known_is_a_dash():
    assert "nan loss" in shown_text(tiles_html(progress(parse(EVENTS))))
    assert shown_text(tiles_html(progress([]))).count("–") == 5


@pytest.mark.parametrize(
    ("state", "said", "words"),
    [
        ({"status": "queued", "ended": None}, [], "waits for the runs before it"),
        ({"status": "preparing", "ended": None}, [], "starting the worker"),
        ({"status": "preparing", "ended": None}, EVENTS[:1], "Loading it"),
        ({"status": "running", "ended": None}, EVENTS[:3], "step 0 of 10: measuring the base model first"),
        ({"status": "running", "ended": None}, EVENTS, "step 2 of 10, about 16 s left"),
        ({"status": "stopping", "ended": None}, EVENTS, "step 2 of 10, about 16 s left"),
        ({"status": "finished"}, [*EVENTS, {"event": "done"}], "step 2 of 10, 4 s of training"),
        ({"status": "stopped", "cause": "Stopped on request."}, [*EVENTS, {"event": "done"}], "Stopped on request."),
        ({"status": "failed", "cause": "The disk is full."}, [*EVENTS, {"event": "failed"}], "The disk is full."),
        ({"status": "interrupted", "ended": None, "cause": "Gone."}, EVENTS, "Gone."),
    ],
)
def test_the_status_says_how_far_and_why_not_further(a_run, state, said, words):
    run = a_run(**state)
    shown = status_html(run, run.saved_state(), progress(parse(said)))
    assert words in shown_text(shown)
    assert f'class="qs-badge {state["status"]}"' in shown
    assert ("qs-cause" in shown) == bool(state.get("cause"))
    assert_inert(shown)


@pytest.mark.parametrize(("step", "width"), [(0, "0.0%"), (1, "10.0%"), (10, "100.0%")])
def test_the_bar_is_as_long_as_the_share(a_run, step, width):
    run = a_run()
    said = [{"event": "step", "step": step, "total": 10}]
    assert ("i", {"style": f"width:{width}"}) in tags_of(status_html(run, run.saved_state(), progress(parse(said))))


def test_notes_say_the_rows_the_numbers_the_choices_and_what_it_was_made_with(a_run):
    run = a_run()
    run.save_label(Label(name="First", tags=["a"], note="It went well."))
    made = {"code": "abc", "packages": {"torch": "2.13.0"}, "hardware": "CPU"}
    words = shown_text(notes_html(run, progress(parse([PREPARED | {"lineage": made}]))))
    for fact in (
        "First", "It went well.", run.subset().describe(), "1,200 rows, 56,789 tokens a pass, 1,234 of them learned",
        "99 adapter", "4 rows are longer", "3 rows left out: no answer.", "Attention is sdpa (no GPU).",
        "code abc, torch 2.13.0; on CPU",
    ):  # fmt: skip
        assert fact in words
    assert run.subset().describe() in shown_text(notes_html(run, progress([]))), "before anything is prepared"


def test_hostile_text_of_a_run_is_shown_inert(do, runs, settings, tmp_path):
    data = opened(settings, tmp_path, [{"messages": talk("a", "b")}], f"{HOSTILE.replace('/', '')}.jsonl")
    subset.create(settings, "hostile", Recipe(dataset=data.id, held_out_share=0))
    run = runs.create(QLoRAConfig(subset="hostile"))
    run.save_state(RunState(status="failed", cause=HOSTILE, created=0, ended=1))
    run.save_label(Label(name=HOSTILE, tags=[HOSTILE], note=HOSTILE))
    said = [
        {"event": "stage", "text": HOSTILE},
        {"event": "eval", "step": 0, "loss": HOSTILE},
        PREPARED | {"template": HOSTILE, "choices": [HOSTILE], "left_out": {HOSTILE: 1}},
        {"event": "step", "step": 1, "total": 2, "loss": HOSTILE, "seconds": 1.0, "rows": [0]},
        {"event": "sample", "step": 1, "prompts": [HOSTILE], "answers": [HOSTILE]},
    ]
    write(run, said)
    run.log.write_text(HOSTILE)
    status, tiles, warned, _, losses, _, notes = do.shown(run.id, "learning rate", None)
    for shown in (status, tiles, warned, notes, do.samples(run.id)[1], do.log(run.id), do.rows_of(run.id, 1)[1]):
        assert_inert(shown)
    for shown in (status, tiles, notes, do.log(run.id), do.samples(run.id)[1]):
        assert "alert(1)" in shown_text(shown), "it is still shown"
    assert all(series["points"] == [] for series in losses["series"])


def test_what_is_drawn_is_what_is_a_number(do, a_run):
    run = a_run(EVENTS)
    *_, visible, losses, other, _ = do.shown(run.id, "tokens/s", None)
    assert visible["visible"]
    drawn = {series["name"]: series["points"] for series in losses["series"]}
    assert drawn["loss"] == [[1, 3000, 2.0, 3.25]]
    assert drawn[HELD_OUT] == [[0, 0, 0.0, 4.0], [2, 6000, 4.0, 3.0]]
    assert [point[3] for point in other["series"][0]["points"]] == [1500.4, 99.0]
    *_, zoomed, _, _ = do.shown(run.id, "tokens/s", {"low": 1, "high": 2})
    assert [series["points"][0][0] for series in zoomed["series"]] == [1, 2]
    assert "no number since step 2" in do.shown(run.id, "tokens/s", None)[2]


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_can_be_drawn(do, a_run, measure):
    assert do.shown(a_run(EVENTS).id, measure, None)[5]["title"] == measure


def test_watching_nothing_says_where_to_begin(do):
    status, tiles, _, visible, *_ = do.shown(None, "use (%)", None)
    assert NO_RUN in status
    assert tiles == ""
    assert not visible["visible"]
    assert do.rows_of(None, 3)[1] == ""
    assert "Nothing was logged" in do.log(None)


def test_samples_are_scrubbed_through(do, a_run):
    later = EVENTS[-1] | {"step": 4, "answers": ["Because it is."]}
    run = a_run([*EVENTS, later])
    slider, shown = do.samples(run.id)
    assert (slider["maximum"], slider["value"]) == (1, 1)
    assert "Because it is." in shown
    *_, stays = do.scrub(run.id, 0)
    *_, follows = do.scrub(run.id, 1)
    assert "answered at step 2" in do.samples(run.id, stays)[1]
    assert do.samples(run.id, (run.id, 99))[1] == shown
    write(run, [EVENTS[-1] | {"step": 9}])
    assert "answered at step 9" in do.samples(run.id, follows)[1], "the end stays the end"
    assert "answered at step 2" in do.samples(run.id, stays)[1]
    assert "answered at step 9" in do.samples(run.id, ("another run", 0))[1]
    assert "No answers yet" in do.samples(a_run().id)[1]


def test_a_point_opens_the_rows_of_its_step_and_one_can_be_left_out(do, a_run, settings):
    run = a_run(EVENTS)
    choices, words = do.rows_of(run.id, 2)
    assert choices["choices"] == [("row 5", 5)]
    assert "trained on 2 rows" in words
    assert "no step of this run" in do.rows_of(run.id, 77)[1]
    row = next(number for _, number, _ in subset.stream(settings, "keeper"))
    assert "qs-turn" in do.row(run.id, row, False)
    assert "no longer in the subset" in do.row(run.id, 10**6, False)
    name = do.without(run.id, row)
    known = {number for _, number, _ in subset.stream(settings, "keeper")}
    assert {number for _, number, _ in subset.stream(settings, name)} == known - {row}
    with pytest.raises(StudioError, match="No row is chosen"):
        do.without(run.id, None)


def test_all_points_come_as_csv(do, a_run):
    with open(do.as_csv(a_run(EVENTS).id), encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert [row["loss"] for row in rows] == ["3.25", "nan"]
    assert [row["held_out_loss"] for row in rows] == ["", "3.0"]
    with pytest.raises(StudioError, match="No run is chosen"):
        do.as_csv(None)


def test_the_fingerprint_changes_with_the_events_the_state_and_the_name_and_else_stays(do, a_run):
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process().pid))  # we are alive
    seen = [do.fingerprint(run.id), do.fingerprint(run.id)]
    assert seen[0] == seen[1]
    write(run, EVENTS[:1])
    seen.append(do.fingerprint(run.id))
    run.request_stop()
    seen.append(do.fingerprint(run.id))
    run.save_state(RunState(status="stopped", created=0, ended=1))
    seen.append(do.fingerprint(run.id))
    run.save_label(Label(name="x"))
    seen.append(do.fingerprint(run.id))
    assert len(set(seen)) == 5
    assert do.fingerprint(None) == do.fingerprint("") == ""


@pytest.mark.parametrize("run_id", ["nope", "../x", "a/b"])
def test_an_unknown_run_is_refused_by_name(do, run_id):
    for ask in (do.fingerprint, do.log, do.as_csv):
        with pytest.raises(StudioError, match=run_id):
            ask(run_id)


def test_the_report_comes_with_its_plots(do, a_run):
    run = a_run(EVENTS)
    with zipfile.ZipFile(do.as_report(run.id)) as archive:
        assert set(archive.namelist()) == {"report.md", "loss.png", "measures.png"}
    with pytest.raises(StudioError, match="No run is chosen"):
        do.as_report(None)
