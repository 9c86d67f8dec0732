"""Losses of the rows in the Data tab: estimated, measured, shown, filtered, and part of a recipe."""

import numpy as np
import pytest

from core.data import row_losses, subset
from core.data.row_losses import LossSource
from core.errors import StudioError
from core.evaluate.line_file import LineWriter
from core.evaluate.row_losses import measure
from core.evaluate.row_losses.lines import make_line, write_parquet
from core.system.jobs import Job
from studio.data.browse import Browse
from studio.data.losses import RowLosses
from studio.data.page_state import parse_state
from studio.data.subsets import CreateSubset

MODEL = "model:smollm2-135m-instruct"


def write_losses(settings, data, reading, source, progress=None):
    """Write losses without a model, as the job that measures would: rows have 1, 2, … nats."""
    path = row_losses.path_of(settings, data, reading, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    lanes = [0, 1] if source.run else [0]
    writer = LineWriter(path.with_suffix(".jsonl"))
    writer.write(
        make_line(row, lane, losses=np.array([(row + 1) * (0.5 if lane else 1.0)]))
        for row in range(50)
        for lane in lanes
    )
    writer.close()
    write_parquet(path.with_suffix(".jsonl"), path, source, 100.0)
    return str(path)


@pytest.fixture
def do(settings, jobs, monkeypatch):
    monkeypatch.setattr(measure, "measure", write_losses)
    return RowLosses(settings, jobs)


def test_measure_shows_an_estimate_then_the_column_and_its_statistics(do, settings, state, data):
    before = do.show(state, MODEL)["loss_text"]
    assert "59 rows, about" in before
    assert "The time is not known yet" in before
    assert "base_loss" not in parse_state(state).open_rows(settings).fields
    *running, last = do.measure(state, MODEL)
    assert all("Measuring the loss of 59 rows" in update["progress"] for update in running)
    page = parse_state(last["state"])
    assert page.loss_source(settings).describe().startswith("smollm2-135m-instruct, template auto, 1,024")
    assert "base_loss" in Browse(settings).columns(page, page.open_rows(settings))
    shown = do.show(last["state"], MODEL)["loss_text"]
    assert "<b>50</b> rows measured" in shown
    assert "25.500" in shown
    # Another maximum length is another measurement, whose time is known now.
    assert "by the speed of an earlier measurement" in do.show(last["state"] | {"max_length": 20}, MODEL)["loss_text"]


def test_subset_by_base_loss_records_the_losses(do, settings, state, jobs, data):
    *_, last = do.measure(state, MODEL)
    sorted_once = Browse(settings).sort(last["state"], "base_loss")["state"]
    descending = Browse(settings).sort(sorted_once, "base_loss")["state"]
    create = CreateSubset(settings, jobs)
    values = {"rows": 5, "method": "first", "held_out_share": 0.0, "duplicates": "keep", "leaks": "keep", "seed": 0}
    list(create.create(descending, [], {}, "hardest", **values))
    made = subset.find(settings, "hardest")
    assert made.recipe.losses == parse_state(last["state"]).loss_source(settings)
    assert sorted(row for row, _ in subset.load(settings, "hardest")["train"]) == [45, 46, 47, 48, 49]
    assert create.recipe(last["state"], [], {}, values).losses is None, "nothing reads them"
    list(create.create_by_sql(last["state"], "SELECT row FROM rows WHERE base_loss > 48", "by-sql"))
    assert subset.find(settings, "by-sql").recipe.losses == made.recipe.losses


def test_kinds_of_rows_need_the_losses_of_a_run(do, settings, state, data):
    *_, last = do.measure(state, MODEL)
    with pytest.raises(StudioError, match="No run's losses are measured"):
        Browse(settings).show_kind(last["state"], "Never learned")
    source = LossSource(base='["tiny"]', max_length=64, run="r", adapter="final")
    write_losses(settings, data, data.detected, source)
    page = parse_state(last["state"] | {"losses": source.key})
    for kind, count in (("Known by the base", 0), ("Learned by the run", 50), ("Never learned", 0)):
        shown = parse_state(Browse(settings).show_kind(page.model_dump(), kind)["state"])
        assert shown.open_rows(settings).count(shown.view) == count


def test_choose_another_measurement_drops_filters_on_the_old_one(do, settings, state, data):
    *_, last = do.measure(state | {"max_length": 64, "columns": ["row", "prompt"]}, MODEL)
    assert parse_state(last["state"]).columns == ["row", "prompt", "base_loss"]
    by_loss = Browse(settings).sort(last["state"], "base_loss")["state"]
    *_, second = do.measure(by_loss | {"max_length": 128}, MODEL)
    assert parse_state(second["state"]).view.sort == ""
    back = do.choose_losses(second["state"] | {"max_length": 64}, MODEL)["state"]
    assert parse_state(back).losses == parse_state(last["state"]).losses
    assert do.choose_losses(back, MODEL) == {}
    assert do.choose_losses(back, "run:nothing") == {}


def test_second_measurement_waits_for_the_first(do, state, data, monkeypatch):
    running = Job(1, "losses/another", "Measuring the loss of 9 rows")
    monkeypatch.setattr(do.jobs, "running", lambda kind: running)
    with pytest.raises(StudioError, match=r"Another measurement is running \(Measuring the loss of 9 rows\)"):
        next(do.measure(state, MODEL))


@pytest.mark.parametrize(
    ("chosen", "reason"), [("run:nothing", "no run &#39;nothing&#39;"), ("model:none", "no model &#39;none&#39;")]
)
def test_show_names_a_model_or_run_that_does_not_exist(do, state, chosen, reason):
    assert reason in do.show(state, chosen)["loss_text"]
