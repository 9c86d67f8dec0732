"""The Train tab's actions on real run folders: what it shows of files, what it escapes, what it refuses to start."""

import html.parser
import time

import gradio as gr
import psutil
import pytest

from core.data import sources, subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.models import embedded
from core.runs.config import TITLES, QLoRAConfig, group_of
from core.runs.events import EventWriter
from core.runs.presets import PRESETS
from core.runs.progress import progress
from core.runs.store import RunState, RunStore
from studio.train_tab import NO_RUN, TrainActions, build_train_tab, notes_html, status_html, tiles_html

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"
PREPARED = {
    "event": "prepared", "total_steps": 10, "rows": 1200, "held_out_rows": 2, "left_out": {"no answer": 3},
    "truncated": 4, "tokens": 56789, "answer_tokens": 1234, "trainable": 99, "template": "Llama 2's chat template",
    "choices": ["Attention is sdpa (no GPU)."],
}  # fmt: skip
EVENTS = [
    {"event": "stage", "text": "Loading it"},
    PREPARED,
    {"event": "eval", "step": 0, "loss": 4.0},
    {"event": "step", "step": 1, "total": 10, "loss": 3.25, "learning_rate": 1e-3, "tokens_per_second": 1500.4,
     "seconds": 2.0},
    {"event": "step", "step": 2, "total": 10, "loss": "nan", "learning_rate": 5e-4, "tokens_per_second": 99.0,
     "seconds": 4.0},
    {"event": "eval", "step": 2, "loss": 3.0},
]  # fmt: skip
OWN_TAGS = {"div", "span", "i", "b", "small", "ul", "li"}


@pytest.fixture
def do(settings):
    subset.ensure_bundled(settings)
    # a config.json is all that makes a folder a local model; nothing is loaded here
    model = embedded.folder(settings)
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    return TrainActions(RunStore(settings))


def a_run(do, said=(), **state):
    run = do.runs.create(QLoRAConfig())
    run.save_state(RunState(**({"status": "finished", "created": 1000.0, "ended": 1200.0} | state)))
    write(run, said)
    return run


def write(run, said):
    writer = EventWriter(run.events_file)
    for event in said:
        writer.write(event["event"], **{name: value for name, value in event.items() if name != "event"})


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
        "class", "role", "style", "aria-valuenow", "aria-valuemin", "aria-valuemax", "aria-label"
    }  # fmt: skip


def shown_text(shown):
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_data = found.append
    parser.feed(shown)
    parser.close()
    return " ".join(found)


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_its_reason_and_a_value_for_every_field(do, name):
    reason, *values = do.preset(name)
    assert reason == PRESETS[name].reason
    given = dict(zip(QLoRAConfig.model_fields, values, strict=True))
    assert given.pop("subset") == gr.skip(), "which rows are trained on is not a preset's to say"
    assert given == PRESETS[name].config().model_dump(exclude={"subset"})


# What is shown


def test_tiles_show_the_last_figures_and_the_change_against_the_base():
    words = shown_text(tiles_html(progress(EVENTS[:4])))
    assert "3.250 loss" in words
    assert "4.000 held-out loss" in words
    assert "1.00e-03 learning rate" in words
    assert "1,500 tokens/s" in words
    assert "1 / 10 step" in words
    assert "against base" not in words, "the base itself is no change"
    assert "3.000 held-out loss (-25% against base)" in shown_text(tiles_html(progress(EVENTS)))


def test_a_loss_that_is_no_number_is_said_and_nothing_known_is_a_dash():
    assert "nan loss" in shown_text(tiles_html(progress(EVENTS)))
    assert shown_text(tiles_html(progress([]))).count("–") == 5


@pytest.mark.parametrize(
    ("state", "said", "words"),
    [
        ({"status": "starting", "ended": None}, [], "starting the worker"),
        ({"status": "running", "ended": None}, EVENTS[:1], "Loading it"),
        ({"status": "running", "ended": None}, EVENTS[:3], "step 0 of 10: measuring the base model first"),
        ({"status": "running", "ended": None}, EVENTS, "step 2 of 10, about 16 s left"),
        ({"status": "stopping", "ended": None}, EVENTS, "step 2 of 10, about 16 s left"),
        ({"status": "finished"}, [*EVENTS, {"event": "done"}], "step 2 of 10, 3 min 20 s in all"),
        ({"status": "stopped", "cause": "Stopped on request."}, [*EVENTS, {"event": "done"}], "step 2 of 10"),
        ({"status": "failed", "cause": "The disk is full."}, [*EVENTS, {"event": "failed"}], "The disk is full."),
        ({"status": "interrupted", "ended": None, "cause": "Gone."}, EVENTS, "Gone."),
    ],
)
def test_the_status_says_how_far_and_why_not_further(do, state, said, words):
    run = a_run(do, **state)
    shown = status_html(run, run.saved_state(), progress(said))
    assert words in shown_text(shown)
    assert f'class="qs-badge {state["status"]}"' in shown
    assert ("qs-cause" in shown) == (state["status"] in ("failed", "interrupted"))
    assert ("left" in shown_text(shown)) == (words.endswith("left"))
    assert_inert(shown)


@pytest.mark.parametrize(("step", "width"), [(0, "0.0%"), (1, "10.0%"), (10, "100.0%")])
def test_the_bar_is_as_long_as_the_share(do, step, width):
    run = a_run(do)
    said = [{"event": "step", "step": step, "total": 10}]
    assert ("i", {"style": f"width:{width}"}) in tags_of(status_html(run, run.saved_state(), progress(said)))


def test_notes_say_the_rows_the_numbers_and_the_choices(do):
    run = a_run(do)
    words = shown_text(notes_html(run, progress(EVENTS)))
    for fact in (
        run.id, run.subset().in_words(), "1,200 rows, 56,789 tokens a pass, 1,234 of them learned", "99 adapter",
        "4 rows are longer", "3 rows left out: no answer.", "Attention is sdpa (no GPU).",
    ):  # fmt: skip
        assert fact in words
    assert run.subset().in_words() in shown_text(notes_html(run, progress([]))), "before anything is prepared"


def test_hostile_text_of_a_run_is_shown_inert(do, tmp_path):
    file = tmp_path / f"{HOSTILE.replace('/', '')}.jsonl"
    file.write_text('{"instruction": "a", "output": "b"}\n')
    data = sources.open_file(do.runs.settings, file)
    subset.cut(do.runs.settings, "hostile", Recipe(dataset=data.id, held_out_share=0))
    run = do.runs.create(QLoRAConfig(subset="hostile"))
    run.save_state(RunState(status="failed", cause=HOSTILE, created=0, ended=1))
    said = [
        {"event": "stage", "text": HOSTILE},
        {"event": "eval", "step": 0, "loss": HOSTILE},
        PREPARED | {"template": HOSTILE, "choices": [HOSTILE], "left_out": {HOSTILE: 1}},
        {"event": "step", "step": 1, "total": 2, "loss": HOSTILE, "seconds": 1.0},
    ]
    write(run, said)
    for shown in (
        status_html(run, run.state(), progress(said)),
        status_html(run, run.state(), progress(said[:1])),
        tiles_html(progress(said)),
        notes_html(run, progress(said)),
    ):
        assert_inert(shown)
        assert "alert(1)" in shown_text(shown), "it is still shown"
    status, tiles, _, losses, *_, notes, _ = do.watch(run.id)
    for shown in (status, tiles, notes):
        assert_inert(shown)
    assert losses.empty


def test_watching_draws_what_is_a_number(do):
    run = a_run(do, EVENTS)
    _, _, visible, losses, rates, speeds, _, stop = do.watch(run.id)
    assert visible["visible"]
    assert losses.values.tolist() == [[1, 3.25, "loss"], [0, 4.0, "held-out loss"], [2, 3.0, "held-out loss"]]
    assert rates["value"].tolist() == [1e-3, 5e-4]
    assert speeds["value"].tolist() == [1500.4, 99.0]
    assert not stop["interactive"]


def test_watching_nothing_says_where_to_begin(do):
    status, tiles, visible, losses, *_, stop = do.watch(None)
    assert NO_RUN in status
    assert tiles == ""
    assert not visible["visible"]
    assert losses.empty
    assert not stop["interactive"]


def test_every_widget_that_watches_gets_its_value(do):
    """As many values with a run as without, which are as many as the page has widgets for them."""
    with gr.Blocks() as demo:
        tab = build_train_tab(do.runs, demo)
    watching = [fn for fn in demo.fns.values() if (tab.seen._id, "change") in fn.targets]
    assert [len(fn.outputs) for fn in watching] == [len(do.watch(None))]
    assert len(do.watch(a_run(do, EVENTS).id)) == len(do.watch(None))


# The fingerprint


def test_the_fingerprint_changes_with_the_events_and_the_state_and_else_stays(do):
    run = a_run(do, status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process()))  # we are alive
    seen = [do.fingerprint(run.id), do.fingerprint(run.id)]
    assert seen[0] == seen[1]
    write(run, EVENTS[:1])
    seen.append(do.fingerprint(run.id))
    run.request_stop()
    seen.append(do.fingerprint(run.id))
    run.save_state(RunState(status="stopped", created=0, ended=1))
    seen.append(do.fingerprint(run.id))
    assert len(set(seen)) == 4
    assert do.fingerprint(None) == do.fingerprint("") == ""
    assert do.fingerprint(a_run(do).id) not in seen


@pytest.mark.parametrize("run_id", ["nope", "../x", "a/b"])
def test_an_unknown_run_is_refused_by_name(do, run_id):
    for ask in (do.fingerprint, do.watch, do.stop):
        with pytest.raises(StudioError, match=run_id):
            ask(run_id)


# Start and stop


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"subset": "none-such"}, "no subset 'none-such'"),
        ({"subset": "../keeper"}, "cannot be used as a subset name"),
        ({"model": "none-such"}, "no model 'none-such'"),
        ({"model": "../models"}, "no model '../models'"),
    ],
)
def test_a_run_that_cannot_be_is_refused_and_leaves_no_folder(do, values, words):
    before = psutil.Process().children()
    with pytest.raises(StudioError, match=words):
        list(do.start(**(QLoRAConfig().model_dump() | values)))
    assert do.runs.runs() == []
    assert [path for path in do.runs.settings.runs_dir.iterdir() if path.is_dir()] == []
    assert psutil.Process().children() == before


@pytest.mark.parametrize("values", [{"max_length": 0}, {"lora_targets": ","}, {"lora_rank": 1.5}, {"nonsense": 1}])
def test_a_value_that_cannot_be_is_refused_by_the_server_itself(do, values):
    [name] = values
    words = f"{TITLES[name]} \\(under {group_of(name)}\\)" if name in TITLES else name
    with pytest.raises(StudioError, match=words):
        list(do.start(**values))
    assert do.runs.runs() == []


def test_one_run_trains_at_a_time(do):
    run = a_run(do, status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process()))
    stream = do.start(**QLoRAConfig().model_dump())
    assert next(stream)["value"] == run.id, "the run that is active is shown"
    with pytest.raises(StudioError, match=rf"{run.id} is running\. One run trains at a time"):
        next(stream)
    assert [r.id for r in do.runs.runs()] == [run.id]


def test_stop_asks_a_live_run_and_refuses_an_ended_one(do):
    run = a_run(do, status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process()))
    do.stop(run.id)
    assert run.stop_request.exists()
    assert run.state().status == "stopping"
    ended = a_run(do)
    with pytest.raises(StudioError, match="finished already"):
        do.stop(ended.id)
    with pytest.raises(StudioError):
        do.stop(None)


def test_on_load_the_newest_run_is_chosen(do):
    runs, subsets, models = do.on_load()
    assert (runs["choices"], runs["value"]) == ([], None)
    old, new = a_run(do, created=1.0), a_run(do, created=time.time())
    runs, subsets, models = do.on_load()
    assert [run_id for _, run_id in runs["choices"]] == [new.id, old.id]
    assert runs["value"] == new.id
    assert subsets["choices"][0][1] == "keeper"
    assert models["choices"][0][1] == embedded.NAME
