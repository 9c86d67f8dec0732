"""Start: its stages, findings, accepted warnings, and the time of the run."""

import json
from types import SimpleNamespace

import psutil
import pytest

from core.errors import StudioError
from core.models import embedded
from core.runs.config import QLoRAConfig
from core.runs.progress import RunProgress
from core.runs.time_estimate import Estimate, Speed, TimeEstimates
from studio.handlers import ShownError
from studio.train.controls import RunControls
from studio.train.run_html import status_html
from studio.train.start import Starter, about, time_html
from tests.helpers.hostile_text import HOSTILE, ParsedHtml

VALUES = QLoRAConfig().model_dump()


def refused(updates, error, match):
    """Return what the updates of a start that must fail show at its end."""
    shown = {}

    def collect():
        for update in updates:
            shown.update(update)

    with pytest.raises(error, match=match):
        collect()
    return shown


@pytest.fixture
def do(runs, toasts):
    return Starter(runs, RunControls(runs), TimeEstimates(runs))


@pytest.fixture
def ready(do, runs, a_run, small_tokenizer):
    """Handlers of a home whose model has a tokenizer, and where another run trains, so that none is started."""
    folder = embedded.folder(runs.settings)
    small_tokenizer.save_pretrained(folder)
    # Llama's default sizes would exceed the memory of a small machine.
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 64, "intermediate_size": 64}))
    active = a_run(status="running", ended=None)
    active.save_state(active.saved_state().with_process(psutil.Process().pid))
    return do


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"subset": "none-such"}, "subset", "no subset 'none-such'"),
        ({"subset": "../keeper"}, "subset", "cannot be used as a subset name"),
        ({"model": "none-such"}, "model", "no model 'none-such'"),
        ({"model": "../models"}, "model", "no model '../models'"),
        ({"revision": "abc"}, "revision", "has no revision 'abc'"),
    ],
)
def test_start_with_a_problem_shows_it_at_its_field_and_creates_no_folder(do, values, field, words):
    before = psutil.Process().children()
    shown = refused(do.start(False, True, **(VALUES | values)), ShownError, words)
    assert shown["card"]["visible"]
    assert not shown["anyway"]["visible"]
    assert words in ParsedHtml(shown["card_findings"]).text
    assert field in [one["name"] for one in shown["field_errors"]["fields"]]
    assert do.runs.runs() == []
    assert [path for path in do.runs.settings.runs_dir.iterdir() if path.is_dir()] == []
    assert psutil.Process().children() == before


def test_start_with_a_warning_needs_its_acceptance_and_stores_it(ready):
    values = VALUES | {"max_length": 120}
    there = len(ready.runs.runs())
    shown = refused(ready.start(False, False, **values), ShownError, "accept_warnings")
    assert len(ready.runs.runs()) == there
    assert shown["anyway"]["visible"]
    [words] = [text for text in shown["refusal"].at_fields.values() if "will be truncated" in text]
    assert words in ParsedHtml(shown["card_findings"]).text

    changed = ready.change_settings(shown["refusal"])
    assert not changed["card"]["visible"]
    assert [field["name"] for field in changed["field_errors"]["fields"]] == ["max_length"]
    assert ready.update(shown["refusal"], {}, **values).keys() == {"time"}
    assert not ready.update(shown["refusal"], {}, **VALUES)["card"]["visible"]

    *_, last = ready.start_anyway(False, **values)
    run = ready.runs.run(last["run"]["value"])
    assert words in run.state().warnings
    assert words in ParsedHtml(status_html(run, run.state(), RunProgress())).text


def test_start_behind_a_running_run_queues_and_shows_its_stages(ready, toasts):
    *updates, last = ready.start(False, False, **VALUES)
    stages = [update["stage"] for update in updates if "stage" in update]
    assert "Checking" in stages[0]
    assert "Starting. Checking" in updates[1]["starting"]
    assert last["stage"] == last["starting"] == ""
    assert "Waiting for the runs before it" in ParsedHtml(last["status"]).text
    assert last["sent"] == {}
    assert "Queued" in toasts[0]
    assert [run.id for run in ready.runs.queue()] == [last["run"]["value"]]
    assert ready.runs.queue()[0].state().warnings == []


def test_same_start_again_at_once_is_a_double_click_and_starts_nothing(ready, monkeypatch):
    *_, first = ready.start(False, False, **VALUES)
    there = len(ready.runs.runs())
    with pytest.raises(StudioError, match="started a moment ago with the same settings"):
        list(ready.start(False, False, last=first["last"], **VALUES))
    assert len(ready.runs.runs()) == there
    *_, other = ready.start(False, False, last=first["last"], **VALUES | {"seed": 7})
    monkeypatch.setattr("studio.train.start.time", SimpleNamespace(monotonic=lambda: other["last"].at + 3))
    list(ready.start(False, False, last=other["last"], **VALUES | {"seed": 7}))
    assert len(ready.runs.runs()) == there + 2, "other settings, and the same a while later, are wanted"


def test_start_beyond_a_quota_raises_and_ends_the_stage(do, a_run, monkeypatch):
    a_run()
    monkeypatch.setenv("STUDIO_QUOTA_RUNS", "1")
    shown = refused(do.start(False, False, **VALUES), StudioError, "the limit is 1")
    assert shown["stage"] == shown["starting"] == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_accepted_warning_with_hostile_text_stays_text(a_run, text):
    run = a_run(warnings=[text])
    page = ParsedHtml(status_html(run, run.state(), RunProgress()))
    assert {tag for tag, _ in page.tags} <= {"div", "span", "i"}


def test_describe_time_without_a_measurement_offers_the_dry_run(do):
    assert "yet. Dry run measures it" in do.describe_time(VALUES)
    assert do.describe_time(VALUES | {"lora_rank": 0}) == do.describe_time(VALUES | {"subset": "none-such"}) == ""


def test_time_html_names_the_run_it_is_derived_from_and_what_differs():
    speed = Speed(QLoRAConfig(), 100, 1, 1, run="an-id", title="my <run>")
    text = ParsedHtml(time_html(Estimate(200, speed, ("rank 8",)), has_samples=True)).text
    expected = "About 3 min on this machine, measured on my <run> (rank 8), without the sample answers."
    assert text.strip() == expected
    assert "Lower" not in text
    assert "Lower “Steps” to shorten it." in time_html(Estimate(1900, speed))
    assert "measured on the dry run." in time_html(Estimate(200, Speed(QLoRAConfig(), 100, 1, 1)))


def test_about_has_no_false_precision():
    assert [about(seconds) for seconds in (2, 44, 61, 200, 3725)] == ["10 s", "40 s", "1 min", "3 min", "1 h 02 min"]
