"""Tests of core.evaluate.harness.measure: what is refused before anything is loaded, and a real measurement."""

import importlib.util
import json

import pytest
import torch

from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.harness import measure as measuring
from core.evaluate.harness.config import HarnessConfig
from core.evaluate.harness.measure import INSTALL, find_target, measure
from core.evaluate.harness.results import read_results
from tests.helpers.source_files import PROJECT
from tests.helpers.tiny_evaluations import tiny_store

installed = pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason=f"lm-eval is optional: {INSTALL}")
ROLLING = """\
task: texts
dataset_path: json
dataset_kwargs: {data_files: {test: texts.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: word_perplexity
"""


@pytest.fixture
def tiny(settings, small_tokenizer):
    return tiny_store(settings, small_tokenizer)


def test_without_the_package_the_command_is_named(tiny, monkeypatch):
    store, run = tiny
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lm_eval" else found(name))
    with pytest.raises(StudioError, match=r"lm-eval is not installed\. Install it with: pip install -r"):
        measure(store, find_target(store, run.id), HarnessConfig(tasks="example"))
    assert (PROJECT / INSTALL.rpartition(" ")[2]).is_file()
    assert not (run.folder / "harness").exists()


def test_base_is_downloaded_as_for_answers_before_it_is_loaded(tiny, monkeypatch):
    store, run = tiny

    def fetch(model, report):
        report("Downloading")
        raise StudioError("Too small a disk.")

    monkeypatch.setattr(measuring, "check_installed", lambda: None)
    monkeypatch.setattr(measuring, "fetch", fetch)
    stages = []
    with pytest.raises(StudioError, match="Too small a disk"):
        measure(store, find_target(store, run.id), HarnessConfig(tasks="example"), lambda _, text: stages.append(text))
    assert stages == ["Loading tiny", "Downloading"]


def test_targets_are_runs_checkpoints_and_evaluations(tiny):
    store, run = tiny
    evaluation = store.create(EvaluationConfig(subset="keeper", lanes=["base"], limit=2))
    assert find_target(store, run.id).config.lanes == ["base", run.id]
    assert find_target(store, f"{run.id}/step 4").config.lanes == ["base", f"{run.id}/step 4"]
    assert find_target(store, run.id).folder == run.folder
    assert find_target(store, evaluation.id).folder == evaluation.folder
    with pytest.raises(StudioError, match=r"There is no run or evaluation '\.\./x'"):
        find_target(store, "../x")


@installed
def test_base_and_adapter_are_measured_as_the_harness_alone_measures_them(tiny, settings):
    from lm_eval import evaluator
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    store, run = tiny
    seen = []
    path = measure(
        store, find_target(store, run.id), HarnessConfig(tasks="example", limit=12), lambda *report: seen.append(report)
    )
    assert path.parent == run.folder / "harness"
    (result,) = read_results(run.folder)
    assert [found.title for found in result.metrics] == ["capitals: acc", "sums: exact_match, first-number"]
    assert result.versions["lm-eval"] == "0.4.13"
    assert any("of 48 requests" in text for _, text in seen)
    shares = [share for share, _ in seen]
    assert 0 <= min(shares) <= max(shares) <= 1
    assert "Running loglikelihood requests" in (run.folder / "harness" / "log.txt").read_text()

    folder, tasks = settings.models_dir / "tiny", PROJECT / "core" / "evaluate" / "harness" / "example"
    alone = settings.home / "alone"
    alone.mkdir()
    task = (tasks / "capitals.yaml").read_text().replace("test: capitals.jsonl", f"test: {tasks / 'capitals.jsonl'}")
    (alone / "capitals.yaml").write_text(task)
    # PEFT changes the model that it gets, so each lane has one of its own.
    base, other = (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32) for _ in range(2))
    for lane, each in enumerate((base, PeftModel.from_pretrained(other, run.adapter))):
        found = evaluator.evaluate(
            HFLM(pretrained=each.eval(), tokenizer=AutoTokenizer.from_pretrained(folder)),
            TaskManager(include_path=str(alone), include_defaults=False).load(["capitals"]),
            limit=12,
        )
        assert result.metrics[0].values[lane] == pytest.approx(found["results"]["capitals"]["acc,none"])
        rows = [each["acc"] for each in found["samples"]["capitals"]]
        assert result.metrics[0].by_row[lane] == rows


@installed
def test_perplexity_has_values_and_no_rows(tiny, settings):
    store, run = tiny
    folder = settings.harness_dir / "mine"
    folder.mkdir()
    (folder / "texts.yaml").write_text(ROLLING)
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": f"The sea {n} is calm."}) + "\n" for n in range(5)))
    measure(store, find_target(store, run.id), HarnessConfig(tasks="mine"))
    (found,) = read_results(run.folder)[0].metrics
    assert (found.metric, found.is_higher_better, found.by_row) == ("word_perplexity", False, None)
    assert all(value > 1 for value in found.values)


@installed
@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{{missing}}", "UndefinedError: 'missing' is undefined"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError: access to attribute '__class__'"),
    ],
)
def test_a_template_that_fails_or_reaches_for_python_is_an_error_with_the_log(tiny, settings, template, sentence):
    store, run = tiny
    folder = settings.harness_dir / "mine"
    folder.mkdir()
    (folder / "texts.yaml").write_text(ROLLING.replace("{{text}}", template))
    (folder / "texts.jsonl").write_text('{"text": "The sea."}\n')
    with pytest.raises(StudioError) as failed:
        measure(store, find_target(store, run.id), HarnessConfig(tasks="mine"))
    assert sentence in str(failed.value)
    assert "log.txt" in str(failed.value)
    assert read_results(run.folder) == []
