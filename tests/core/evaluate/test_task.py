"""Tests of core.evaluate.task: the task of a prompt set, and the metrics and the verdict that follow from it."""

import json

import pytest

from core.errors import StudioError
from core.evaluate import scoring
from core.evaluate.config import EvaluationConfig
from core.evaluate.metrics import GROUPS, METRICS
from core.evaluate.metrics.tasks import TASKS
from core.evaluate.prompts import Prompt
from core.evaluate.store import EvaluationStore
from core.evaluate.task import find_task
from core.evaluate.verdict import choose_metric
from tests.helpers.score_tables import ScoreTable
from tests.helpers.scored_evaluation import scored_evaluation


def prompts(references, question="What is it?"):
    return [Prompt([{"role": "user", "content": question}], reference) for reference in references]


MOODS = ["good", "bad"] * 10
TEXTS = [f"It is the number {n}, as far as I can see." for n in range(20)]


@pytest.mark.parametrize(
    ("setting", "references", "task", "why"),
    [
        ("auto", MOODS, "classification", "because the references are 2 short texts that occur again and again."),
        ("auto", TEXTS, "generation", "because the references are not a few short texts that occur again and again."),
        ("auto", [""] * 5, "generation", "because no row has a reference."),
        ("classification", TEXTS, "classification", "as chosen, with 20 labels."),
        ("generation", MOODS, "generation", "as chosen."),
        ("summarization", MOODS, "summarization", "as chosen."),
    ],
)
def test_task_is_stated_or_found_with_a_reason(setting, references, task, why):
    found = find_task(setting, prompts(references))
    assert (found.name, found.why) == (task, f"Task: {task}, {why}")
    assert (found.labels is None) == (task != "classification")


@pytest.mark.parametrize(
    ("references", "sentence"),
    [
        (["", " "], "no row has a reference"),
        (["good", "Good."], "all references are the label 'Good.'"),
        ([f"label {n}" for n in range(1001)], "1,001 different references, and a classification has at most 1,000"),
    ],
)
def test_stated_classification_without_labels_is_refused_and_leaves_nothing(references, sentence, settings, tmp_path):
    with pytest.raises(StudioError, match="Choose prompts with labels, or another task") as refused:
        find_task("classification", prompts(references))
    assert sentence in str(refused.value)
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Row {n}?", "completion": text} for n, text in enumerate(references)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = EvaluationStore(settings)
    with pytest.raises(StudioError):
        store.create(EvaluationConfig(file=file.name, lanes=["base"], task="classification", limit=2000), file)
    assert store.all() == []
    assert [path for path in settings.evaluations_dir.glob("[!.]*")] == []


def test_long_texts_with_short_references_propose_summarization():
    long = "word " * 200
    assert find_task("auto", prompts(TEXTS, long)).why.endswith("choose Task summarization: ROUGE-L then decides.")
    assert "summaries" not in find_task("auto", prompts(TEXTS, "word " * 90)).why
    assert "summaries" not in find_task("auto", prompts(["word " * 90] * 5, long)).why


def test_probes_do_not_count_as_prompts():
    probe = Prompt([{"role": "user", "content": "2 + 2?"}], "", -1, probe=0)
    assert find_task("auto", [*prompts(MOODS), probe]).name == "classification"


def test_every_task_names_groups_and_metrics_that_exist():
    for rules in TASKS.values():
        assert set(rules.groups) <= GROUPS.keys()
        assert set(rules.primary) <= set(rules.metrics), "a metric that decides is computed"
    assert {name for rules in TASKS.values() for name in rules.metrics} == METRICS.keys()


@pytest.mark.parametrize(
    ("task", "decides", "has", "lacks"),
    [
        ("generation", "loss", {"bleu", "rouge_l", "compression"}, {"accuracy"}),
        ("summarization", "rouge_l", {"bleu", "rouge_l", "compression", "loss"}, {"accuracy"}),
        ("classification", "accuracy", {"accuracy", "loss", "exact_match", "tokens"}, {"bleu", "compression"}),
    ],
)
def test_task_decides_the_metrics_and_the_verdict(task, decides, has, lacks, settings, tmp_path):
    _, evaluation = scored_evaluation(settings, tmp_path, prompts=30, task=task)
    scores = scoring.load(evaluation)
    names = {metric.name for metric in scores.metrics}
    assert has <= names <= set(TASKS[task].metrics)
    assert not lacks & names
    assert scores.task == task
    assert choose_metric(scores, 0, 1, "auto")[0].name == decides
    assert scores.notes[0] in evaluation.saved_state().choices


def test_why_of_each_metric_that_can_decide_is_known():
    for task, rules in TASKS.items():
        for name in rules.primary:
            table = ScoreTable({name: ([0.0, 1.0], [1.0, 0.0])}, task=task)
            metric, why = choose_metric(table, 0, 1, "auto")
            assert (metric.name, bool(why)) == (name, True)
