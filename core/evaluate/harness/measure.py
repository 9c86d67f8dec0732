"""Measurement of the models of a run or an evaluation by lm-evaluation-harness.

The base is loaded once, as for answers, and each adapter is put over the same weights; the harness gets the loaded
models, one after the other.
"""

import contextlib
import importlib.util
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.chat import arbiter
from core.chat.turns import BASE
from core.chat.types import ResolvedLanes
from core.errors import StudioError
from core.evaluate import process
from core.evaluate.config import EvaluationConfig, parse_lane
from core.evaluate.harness import library, results
from core.evaluate.harness.config import HarnessConfig
from core.evaluate.harness.results import HarnessResult, TaskMetric
from core.evaluate.harness.task_files import find_folder, read_tasks
from core.evaluate.prompts import Prompt
from core.evaluate.store import EvaluationStore
from core.models import catalogue
from core.models.download import fetch
from core.system.jobs import Progress, ignore_progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

INSTALL = "pip install -r requirements-lm-eval.txt"
_PACKAGES = ("lm-eval", "transformers", "torch")


@dataclass(frozen=True)
class Target:
    """Models to measure, and where their results are kept.

    Attributes:
        folder: Folder of the run or the evaluation, which keeps the results.
        config: Its models, and the precision of the base.
    """

    folder: Path
    config: EvaluationConfig


def find_target(store: EvaluationStore, name: str) -> Target:
    """Return the models of an evaluation, or of a run or a checkpoint beside its base.

    Args:
        store: The evaluations.
        name: Id of an evaluation, of a run, or "RUN/step 20".

    Raises:
        StudioError: There is neither an evaluation nor a run of that name.
    """
    for run in store.runs.runs():
        if run.id == parse_lane(name)[0]:
            return Target(run.folder, EvaluationConfig(lanes=[BASE, name]))
    for evaluation in store.all():
        if evaluation.id == name:
            return Target(evaluation.folder, evaluation.config())
    raise StudioError(
        f"There is no run or evaluation {name!r}. List them with: python -m core runs list, or: python -m core "
        "evaluate list"
    )


def check_installed() -> None:
    """Check that the package lm-eval is installed.

    Raises:
        StudioError: It is not there.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise StudioError(f"The package lm-eval is not installed. Install it with: {INSTALL}")


def measure(
    store: EvaluationStore, target: Target, config: HarnessConfig, progress: Progress = ignore_progress
) -> Path:
    """Measure the models of a target on the tasks of a folder, and return the file of the result.

    Args:
        store: The evaluations.
        target: The models, and where the result is kept.
        config: The tasks.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: The package, a model or a task is missing, a task would execute code, or the harness fails.
    """
    check_installed()
    files = read_tasks(find_folder(store.settings, config.tasks), config)
    resolved = process.resolve_evaluation_lanes(store.runs, target.config, Prompt([{"role": "user", "content": "?"}]))
    log = results.results_folder(target.folder) / "log.txt"
    log.parent.mkdir(exist_ok=True)
    began = time.time()
    with _logged(log):
        models, tokenizer, precision = _load(store, resolved, progress)
        found = []
        for number, (lane, model) in enumerate(zip(target.config.lanes, models, strict=True)):
            report = _share(progress, number, len(models), lane)
            found.append(library.evaluate(model, tokenizer, files, config, report, log))
    result = HarnessResult(
        config=config, lanes=target.config.lanes, created=began, seconds=time.time() - began,
        versions={name: version(name) for name in _PACKAGES}, precision=precision,
        metrics=_combine(found), notes=files.notes,
    )  # fmt: skip
    return results.save(target.folder, result)


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Write the output of the harness and of its libraries to a file."""
    with path.open("w", encoding="utf-8") as stream:
        handler = logging.StreamHandler(stream)
        logger = logging.getLogger("lm_eval")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
                yield
        finally:
            logger.removeHandler(handler)


def _share(progress: Progress, number: int, count: int, lane: str) -> Callable[[float, str], None]:
    """Return the progress of one of several models."""
    return lambda share, text: progress((number + share) / count, f"{lane}: {text}")


def _load(
    store: EvaluationStore, resolved: ResolvedLanes, progress: Progress
) -> tuple[list["PreTrainedModel"], Any, str]:
    """Return a model per lane, which share the weights of the base, the tokenizer, and the precision in words."""
    from core.chat import peft_model
    from core.models.loading import load_base

    base = resolved.base
    progress(0.0, f"Loading {base.model}")
    arbiter.check_fits_beside_run(store.runs, base.config, "evaluation")
    arbiter.check_fits_free_memory(store.settings, base.config)
    model = catalogue.find(store.settings, base.model, base.revision, lambda text: progress(0.0, text))
    fetch(model, lambda text: progress(0.0, text))
    loaded = load_base(model, base.precision, base.attention)
    models = []
    for lane in resolved.lanes:
        if not lane.adapter:
            models.append(loaded.model)
            continue
        folder = resolved.adapter_folders[lane.adapter]
        shape = peft_model.read_config(folder)
        models.append(peft_model.load(loaded.model, shape, peft_model.read_tensors(folder, shape), lane.adapter))
    precision = f"{base.quantization}, {str(loaded.model.dtype).removeprefix('torch.')}"
    return models, loaded.tokenizer, precision


def _combine(lanes: list[dict[str, Any]]) -> list[TaskMetric]:
    """Return all metrics of all tasks, with the values of every lane."""
    found = []
    for task, values in lanes[0]["results"].items():
        for key in values:
            metric, _, chain = key.partition(",")
            if not chain or metric.endswith("_stderr"):
                continue
            better = lanes[0]["higher_is_better"].get(task, {}).get(metric)
            found.append(TaskMetric(
                task=task, metric=metric, filter=chain, is_higher_better=better,
                version=str(lanes[0]["versions"].get(task) or "").removesuffix("None"),
                shots=lanes[0]["n-shot"].get(task) or 0, rows=lanes[0]["n-samples"][task]["effective"],
                values=[_number(lane["results"][task].get(key)) for lane in lanes],
                errors=[_number(lane["results"][task].get(f"{metric}_stderr,{chain}")) for lane in lanes],
                by_row=_by_row(lanes, task, metric, chain),
            ))  # fmt: skip
    return found


def _number(value: Any) -> float | None:
    """Return a number of the harness; it writes "N/A" where there is none."""
    return float(value) if isinstance(value, (int, float)) and value == value else None


def _by_row(lanes: list[dict[str, Any]], task: str, metric: str, chain: str) -> list[list[float]] | None:
    """Return the value of each row by lane; None if a row's value is no number, but a part of a sum or of a corpus."""
    found = []
    for lane in lanes:
        samples = sorted(
            (each for each in lane["samples"][task] if each["filter"] == chain), key=lambda each: each["doc_id"]
        )
        values = [_number(each.get(metric)) for each in samples]
        if not values or any(value is None for value in values):
            return None
        found.append([float(value) for value in values])
    # A perplexity's rows are log likelihoods, whose mean is another number than that of the task.
    means = [sum(rows) / len(rows) for rows in found]
    given = [_number(lane["results"][task].get(f"{metric},{chain}")) for lane in lanes]
    matches = all(value is not None and abs(mean - value) < 1e-6 for mean, value in zip(means, given, strict=True))
    return found if matches else None
