"""Fixtures of the Evaluate tab: evaluations that are only files, and the texts of toasts."""

import pytest

from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore


@pytest.fixture
def store(runs):
    return EvaluationStore(runs.settings)


def answer(prompt, lane, text="hi", **more):
    return {"prompt": prompt, "lane": lane, "text": text, "tokens": 2, "end": "end", "note": "", "exact": False,
            "f1": 0.5} | more  # fmt: skip


@pytest.fixture
def evaluated(store, a_run):
    """An evaluation of two lanes: prompt 3 and then prompt 1 are answered by both, prompt 0 by one."""
    run = a_run()
    evaluation = store.create(EvaluationConfig(subset="keeper", lanes=["base", run.id], limit=5))
    writer = LineWriter(evaluation.answers_file)
    writer.write([answer(3, 0, "<img src=x onerror=alert(1)>"), answer(3, 1), answer(1, 1, "b"), answer(0, 0)])
    writer.write([answer(1, 0, "a", end="length", note="cut short")])
    writer.close()
    return evaluation
