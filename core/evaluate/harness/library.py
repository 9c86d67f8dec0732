"""Calls of lm-evaluation-harness, which is imported only here.

Templates run in Jinja's sandbox: the harness would run them with all of Python.
"""

import contextlib
import os
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.evaluate.harness.config import HarnessConfig
from core.evaluate.harness.task_files import TaskFiles
from core.system.jobs import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Resamples for the standard errors of metrics that have no formula for theirs.
_RESAMPLES = 1000


def evaluate(
    model: "PreTrainedModel", tokenizer: Any, files: TaskFiles, config: HarnessConfig, report: Progress, log: Path
) -> dict[str, Any]:
    """Return what the harness finds for one model.

    Args:
        model: The model, loaded.
        tokenizer: Its tokenizer.
        files: The tasks, checked.
        config: How many of their rows are asked.
        report: Called with the share that is done, 0 to 1, and the current step.
        log: The file with the output of the harness, for messages.

    Raises:
        StudioError: The harness fails, for example on a template that names a column that the data lack.
    """
    from lm_eval import evaluator
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory(prefix="studio-harness-") as scratch, _safe_templates():
        tasks, cache = Path(scratch) / "tasks", Path(scratch) / "cache"
        tasks.mkdir()
        files.write(tasks, cache)
        report(0.0, "Reading the tasks")
        try:
            manager = TaskManager(include_path=str(tasks), include_defaults=False)
            found = manager.load(list(files.tasks))
            harness_model = _harness_model(model, tokenizer, config.batch, report)
            return evaluator.evaluate(
                harness_model, found, limit=config.limit or None, bootstrap_iters=_RESAMPLES, log_samples=True
            )
        except (MemoryError, StudioError):
            raise
        except Exception as error:
            traceback.print_exc()
            reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            raise StudioError(
                f"lm-evaluation-harness failed on the tasks of {config.tasks}: {type(error).__name__}: {reason[:300]}. "
                f"Correct the task; the whole message is in {log}."
            ) from error


@contextlib.contextmanager
def _safe_templates() -> Iterator[None]:
    """Let the harness run its templates in Jinja's sandbox, and resample in this process."""
    from jinja2 import BaseLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from lm_eval import utils

    given, parallel = utils.env, os.environ.get("DISABLE_MULTIPROC")
    utils.env = ImmutableSandboxedEnvironment(
        loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True
    )
    utils.env.filters |= {"regex_replace": given.filters["regex_replace"]}
    os.environ["DISABLE_MULTIPROC"] = "1"
    try:
        yield
    finally:
        utils.env = given
        del os.environ["DISABLE_MULTIPROC"]
        if parallel is not None:
            os.environ["DISABLE_MULTIPROC"] = parallel


def _harness_model(model: "PreTrainedModel", tokenizer: Any, batch: int, report: Progress) -> Any:
    """Return a loaded model as the harness takes it, with the progress of its requests."""
    from lm_eval.models.huggingface import HFLM

    class Reporting(HFLM):
        """The model; the harness calls `add_partial` of its `cache_hook` after every request."""

        done, total = 0, 1

        def add_partial(self, *_: Any) -> None:
            """Report one more request."""
            self.done += 1
            report(self.done / self.total, f"{self.done:,} of {self.total:,} requests")

        def _begin(self, requests: list) -> None:
            self.done, self.total, self.cache_hook = 0, max(1, len(requests)), self

        def loglikelihood(self, requests: list, disable_tqdm: bool = True) -> list:
            """Return the likelihoods of continuations."""
            self._begin(requests)
            return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

        def loglikelihood_rolling(self, requests: list, disable_tqdm: bool = True) -> list:
            """Return the likelihoods of texts."""
            self._begin(requests)
            return super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)

        def generate_until(self, requests: list, disable_tqdm: bool = True) -> list:
            """Return the texts that the model writes."""
            self._begin(requests)
            return super().generate_until(requests, disable_tqdm=disable_tqdm)

    return Reporting(pretrained=model, tokenizer=tokenizer, batch_size=batch)
