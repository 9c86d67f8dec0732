"""Summaries of runs, their order, and the differences of their settings."""

import pytest

from core.errors import StudioError
from core.runs.comparison import Summaries, differences, sort_summaries
from core.runs.config import QLoRAConfig
from core.runs.metrics_series import Timelines
from core.runs.store import Label
from tests.helpers.run_events import EVENTS, write

LINEAGE = {"code": "abc", "hardware": "a CPU", "base_commit": None, "packages": {"torch": "2.13.0", "trl": "1.16.0"}}


@pytest.fixture
def summaries():
    return Summaries(Timelines())


def prepared(**lineage):
    return {"event": "prepared", "total_steps": 4, "lineage": LINEAGE | lineage}


def steps(*losses):
    return [
        {"event": "step", "step": n, "total": 4, "loss": loss, "tokens": n * 10, "seconds": n / 2, "memory_gib": n % 3}
        for n, loss in enumerate(losses, 1)
    ]


def test_summary_has_losses_counts_and_status(a_run, summaries):
    evals = [{"event": "eval", "step": step, "loss": loss} for step, loss in ((0, 4.0), (2, 2.5), (4, 3.0))]
    run = a_run([prepared(), *steps(3.0, 1.0, "nan", 2.0), *evals], QLoRAConfig(subset="keeper"))
    found = summaries.of(run)
    assert (found.loss, found.best_loss) == (2.0, 1.0)
    assert (found.base, found.best_held_out, found.held_out) == (4.0, 2.5, 3.0)
    assert (found.steps, found.seconds, found.tokens, found.memory_gib) == (4, 2.0, 40, 2.0)
    assert (found.status, found.subset, found.created) == ("finished", "keeper", 1000.0)


def test_summary_is_updated_with_its_run(a_run, summaries):
    run = a_run([prepared()])
    assert summaries.of(run).loss is None
    write(run, steps(3.0))
    assert summaries.of(run).loss == 3.0
    run.save_label(Label(name="first"))
    run.save_state(run.saved_state().model_copy(update={"status": "stopped"}))
    assert (summaries.of(run).title, summaries.of(run).status) == ("first", "stopped")


def test_summary_of_damaged_run_shows_what_is_readable(a_run, summaries):
    run = a_run()
    (run.folder / "config.json").write_text("{")
    assert (summaries.of(run).model, summaries.of(run).config) == ("", None)
    (run.folder / "state.json").write_text("{")
    assert summaries.of(run).status == "unreadable"


def test_sort_puts_missing_values_last(a_run, summaries):
    runs = [a_run(steps(loss) if loss else [], created=float(n)) for n, loss in enumerate((2.0, None, 1.0))]
    found = [summaries.of(run) for run in runs]
    assert [s.created for s in sort_summaries(found, "loss", False)] == [2, 0, 1]
    assert [s.created for s in sort_summaries(found, "loss", True)] == [0, 2, 1]


def test_differences_lists_only_what_differs(a_run):
    one = a_run([prepared()], QLoRAConfig(lora_rank=8))
    two = a_run([prepared(packages={"torch": "2.11.0", "trl": "1.16.0"})], QLoRAConfig(lora_rank=32, packing=False))
    found = {d.title: d.values for d in differences([one, two], Timelines())}
    assert found == {"Rank": ("8", "32"), "Packing": ("on", "off"), "torch": ("2.13.0", "2.11.0")}
    assert differences([one, one], Timelines()) == []


def test_differences_without_provenance_are_unknown_and_without_config_raise(a_run):
    one, two = a_run(), a_run([prepared()])
    assert {d.title: d.values for d in differences([one, two], Timelines())}["torch"] == ("unknown", "2.13.0")
    (one.folder / "config.json").write_text("{")
    with pytest.raises(StudioError, match=r"no readable config\.json"):
        differences([one, two], Timelines())


def test_summary_skips_steps_without_a_finite_loss(a_run, summaries):
    found = summaries.of(a_run(EVENTS))
    assert (found.steps, found.tokens, found.best_loss) == (2, 3000, 3.25)
