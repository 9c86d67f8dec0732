"""Tests of core.evaluate.judge.local and jobs, with a tiny random model."""

import pytest

from core.errors import StudioError
from core.evaluate.judge import local
from core.evaluate.judge.endpoint import JudgeError
from core.evaluate.judge.jobs import judge_here
from core.evaluate.judge.judging import Pair, list_pairs, read_judgments
from core.evaluate.judge.local import LocalJudge
from core.evaluate.judge.summary import summarize
from tests.helpers.judged_evaluation import PROMPTS
from tests.helpers.tiny_evaluations import tiny_store


def test_a_local_model_gives_every_question_a_valid_reply(judged, small_tokenizer, monkeypatch):
    store, evaluation = judged
    # A model of the Hub is downloaded first, with its progress and a check of the disk.
    monkeypatch.setattr(local, "fetch", lambda model, report: report(f"Downloading {model.name}"))
    tiny_store(store.settings, small_tokenizer)
    pair = Pair(0, 1, "tiny")
    stages = []
    judge_here(evaluation, pair, store.settings, lambda share, text: stages.append(text))
    found = summarize(read_judgments(evaluation, pair), {})
    assert (found.rows, found.errors) == (PROMPTS, 0)
    assert stages[:2] == ["Downloading tiny", "Loading tiny"]
    assert list_pairs(evaluation) == [pair]
    judge = LocalJudge(store.settings, "tiny")
    question = [{"role": "user", "content": "A, B or TIE?"}]
    assert judge.ask(question) == judge.ask(question)
    with pytest.raises(JudgeError, match="does not fit into the judge's context"):
        judge.ask([{"role": "user", "content": "word " * 5_000}])
    with pytest.raises(StudioError, match="no-such-model"):
        LocalJudge(store.settings, "no-such-model")
