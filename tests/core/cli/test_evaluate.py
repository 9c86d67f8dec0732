"""The `python -m core evaluate` commands on evaluations without a worker."""

import re

import pytest

from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore


@pytest.fixture
def evaluation(home):
    made = EvaluationStore(home).create(EvaluationConfig(subset="keeper", limit=2))
    line = {"prompt": 1, "lane": 0, "text": "Aye.", "tokens": 3, "end": "end", "note": "", "exact": False, "f1": 0.25}
    LineWriter(made.answers_file).write([line])
    return made


def test_evaluate_list_and_show_print_progress_and_metrics(ok, evaluation):
    assert ok("evaluate", "list") == f"{evaluation.id}  stopped  1 of 2 prompts\n"
    shown = ok("evaluate", "show", evaluation.id)
    assert "1 of 2 prompts of all rows of the subset keeper" in shown
    rows = dict(re.findall(r"^(.+?)  +(\S+)$", shown, re.MULTILINE))
    assert (rows["Answers"], rows["Tokens"], rows["Ended by itself"]) == ("1", "3.0", "100.0%")
    assert {"Word F1", "chrF", "ROUGE-L", "Length ratio"} <= rows.keys()
    assert ok("evaluate", "follow", evaluation.id).startswith("1 of 2 answers\nThe evaluation is stopped. ")


def test_evaluate_export_and_open_contain_the_finished_prompts(ok, evaluation, home):
    path = ok("evaluate", "export", evaluation.id, "--files", "csv").strip()
    assert path == str(home.exports_dir / f"answers-{evaluation.id}-1-of-2.csv")
    assert "1 row, 1 usable, messages (" in ok("evaluate", "open", evaluation.id)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["start"], "no run is named whose held-out rows could be used"),
        (["start", "--lanes", "base", "--lanes", "base", "--subset", "keeper"], "'base' is listed twice"),
        (["start", "--subset", "keeper", "--limit", "0"], "--limit must be at least 1"),
        (["start", "--subset", "keeper", "--lanes", "none"], "There is no run 'none'"),
        (["show", "../runs"], "cannot be used as an evaluation id"),
        (["pause", "none"], "There is no evaluation 'none'"),
        (["export", "none"], "There is no evaluation 'none'"),
    ],
    ids=str,
)
def test_evaluate_mistake_prints_a_message_and_exits_with_2(run_command, home, words, message):
    code, out, err = run_command("evaluate", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert list(home.evaluations_dir.glob("[!.]*")) == []


@pytest.mark.parametrize("action", ["pause", "stop"])
def test_evaluate_pause_and_stop_of_ended_evaluation_fail(run_command, evaluation, action):
    assert run_command("evaluate", action, evaluation.id)[2] == (
        f"The evaluation {evaluation.id} is stopped: there is nothing to {action}.\n"
    )


def test_answers_command_runs_evaluate_with_a_note(run_command, evaluation):
    code, out, err = run_command("answers", "list")
    assert (code, out) == (0, f"{evaluation.id}  stopped  1 of 2 prompts\n")
    assert err == "`answers` is now called `evaluate`. The old name will be removed in the next version.\n"
