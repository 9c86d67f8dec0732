"""Tests of studio.evaluate.harness_panel."""

import importlib.util

import pytest

from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.harness import measure as measuring
from core.evaluate.harness.results import read_results, save
from core.system.jobs import Jobs
from studio.evaluate.evaluation_view import EvaluationView
from studio.evaluate.harness_panel import HarnessActions, result_html
from tests.helpers.harness_results import task_metric, task_result
from tests.helpers.scored_evaluation import scored_evaluation
from tests.helpers.tiny_evaluations import tiny_store


@pytest.fixture
def do(settings, tmp_path):
    store, evaluation = scored_evaluation(settings, tmp_path, prompts=4, scored=False)
    return HarnessActions(EvaluationView(store), Jobs()), evaluation


@pytest.fixture
def with_package(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if name == "lm_eval" else found(name))


def test_folders_are_listed_and_the_chosen_one_stays(do, settings):
    actions, _ = do
    (settings.harness_dir / "mine").mkdir()
    found = actions.list_folders("mine")["tasks"]
    assert (found["choices"], found["value"]) == (["example", "mine"], "mine")
    assert actions.list_folders("gone")["tasks"]["value"] == "example"


def test_missing_package_selection_and_values_are_sentences(do, monkeypatch):
    actions, evaluation = do
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lm_eval" else found(name))
    with pytest.raises(StudioError, match="No evaluation is selected"):
        list(actions.measure(None, tasks="example"))
    with pytest.raises(StudioError, match=measuring.INSTALL):
        list(actions.measure(evaluation.id, tasks="example"))
    with pytest.raises(StudioError, match="Max rows"):
        list(actions.measure(evaluation.id, tasks="example", limit=-1))


def test_tasks_are_checked_before_the_job_starts(do, settings, with_package):
    actions, evaluation = do
    with pytest.raises(StudioError, match="There is no folder of tasks 'mine'"):
        list(actions.measure(evaluation.id, tasks="mine"))
    (settings.harness_dir / "mine").mkdir()
    (settings.harness_dir / "mine" / "a.yaml").write_text("task: a\nprocess_docs: !function a.b\n")
    with pytest.raises(StudioError, match="names a function"):
        list(actions.measure(evaluation.id, tasks="mine"))


def test_results_are_shown_with_intervals_and_their_origin(do):
    actions, evaluation = do
    assert actions.show(evaluation.id) == {"measured": ""}
    assert actions.show(None) == {"measured": ""}
    perplexity = task_metric(metric="word_perplexity", is_higher_better=False, values=[20.0, 10.0], by_row=None)
    save(evaluation.folder, task_result(metrics=[task_metric(task="<b>colors"), perplexity]))
    html = str(actions.show(evaluation.id)["measured"])
    for text in ("&lt;b&gt;colors: acc", "25.0% ± 10.0%", "+50.0 points", "Measured by lm-eval", "no value per row"):
        assert text in html
    assert "<b>colors" not in html


def test_one_lane_has_values_alone():
    html = str(result_html(task_result(), ["base"], 0, 0))
    assert "25.0% ± 10.0%" in html
    assert "75.0%" not in html


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason=f"lm-eval is optional: {measuring.INSTALL}")
def test_a_job_measures_the_models_and_a_cancelled_one_keeps_nothing(settings, small_tokenizer):
    store, run = tiny_store(settings, small_tokenizer)
    evaluation = store.create(EvaluationConfig(subset="keeper", lanes=["base", run.id], limit=2))
    actions = HarnessActions(EvaluationView(store), Jobs())
    for update in actions.measure(evaluation.id, tasks="example", only="capitals", limit=8):
        if update.get("job") and (running := actions.jobs.find(update["job"])):
            actions.jobs.cancel(running)
    assert read_results(evaluation.folder) == []
    shown = list(actions.measure(evaluation.id, tasks="example", only="capitals", limit=8))
    assert "capitals: acc" in str(shown[-1]["measured"])
    assert [result.lanes for result in read_results(evaluation.folder)] == [["base", run.id]]
