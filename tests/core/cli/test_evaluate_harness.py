"""The command `python -m core evaluate harness`."""

import importlib.util

from core.evaluate.harness.measure import INSTALL
from core.evaluate.harness.results import save
from tests.helpers.harness_results import task_metric, task_result
from tests.helpers.scored_evaluation import scored_evaluation


def test_harness_prints_the_stored_results_with_the_difference(ok, home, tmp_path):
    _, evaluation = scored_evaluation(home, tmp_path, prompts=4, scored=False)
    assert ok("evaluate", "harness", evaluation.id) == (
        "Nothing was measured yet. Name a folder of tasks: --tasks example\n"
    )
    perplexity = task_metric(metric="word_perplexity", is_higher_better=False, values=[20.0, 10.0], by_row=None)
    save(evaluation.folder, task_result(metrics=[task_metric(), perplexity]))
    out = ok("evaluate", "harness", evaluation.id)
    assert "colors: acc (40 rows): base 25.0% ± 10.0%, tuned 75.0% ± 10.0%\n    colors: acc rose from 25.0% to" in out
    assert "colors: word_perplexity (40 rows): base 20.00 ± 0.10, tuned 10.00 ± 0.10\n    No interval" in out
    assert "Measured by lm-eval 0.4.13" in out


def test_harness_names_what_is_missing(run_command, home, tmp_path, monkeypatch):
    _, evaluation = scored_evaluation(home, tmp_path, prompts=4, scored=False)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lm_eval" else found(name))
    code, _, err = run_command("evaluate", "harness", evaluation.id, "--tasks", "example")
    assert (code, err) == (2, f"The package lm-eval is not installed. Install it with: {INSTALL}\n")
    code, _, err = run_command("evaluate", "harness", "nothing", "--tasks", "example")
    assert code == 2
    assert err.startswith("There is no run or evaluation 'nothing'")
