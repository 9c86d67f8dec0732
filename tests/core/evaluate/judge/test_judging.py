"""Tests of core.evaluate.judge.judging, with a judge that is a function."""

import itertools
import json
import re
import threading

import pytest

from core.errors import StudioError
from core.evaluate import result, scoring
from core.evaluate.judge.endpoint import JudgeError
from core.evaluate.judge.judging import Pair, judge, judgments_file, read_judgments
from core.evaluate.judge.summary import row_scores, summarize
from tests.helpers.judged_evaluation import PROMPTS, judged_evaluation

PAIR = Pair(0, 1, "tests/judge:1")


def _prefers_good(messages):
    return "A" if "[Answer A]\ngood" in messages[1]["content"] else "B"


def test_a_fair_judge_prefers_the_better_lane_in_both_orders(judged):
    _, evaluation = judged
    counts = []
    judge(evaluation, PAIR, _prefers_good, lambda share, text: counts.append(text))
    found = summarize(read_judgments(evaluation, PAIR), {})
    assert (found.wins, found.losses, found.ties, found.errors) == (PROMPTS, 0, 0, 0)
    assert (found.win_rate, found.consistency, found.first_slot) == (1.0, 1.0, 0.5)
    assert counts[-1] == f"{2 * PROMPTS:,} of {2 * PROMPTS:,} questions"
    assert row_scores(read_judgments(evaluation, PAIR), PROMPTS).tolist() == [1.0] * PROMPTS


def test_a_judge_that_always_takes_the_first_answer_gives_only_ties(judged):
    _, evaluation = judged
    judge(evaluation, PAIR, lambda messages: "A")
    found = summarize(read_judgments(evaluation, PAIR), {})
    assert (found.ties, found.win_rate, found.consistency, found.first_slot) == (PROMPTS, 0.5, 0.0, 1.0)


def test_errors_are_counted_as_errors_and_only_they_are_asked_again(judged):
    _, evaluation = judged
    broken = {3, 8}

    def fails_sometimes(messages):
        number = int(re.search(r"Question (\d+)", messages[1]["content"])[1])
        if number in broken:
            raise JudgeError("no reply within the time limit")
        return "nonsense" if number == 11 else _prefers_good(messages)

    judge(evaluation, PAIR, fails_sometimes)
    found = summarize(read_judgments(evaluation, PAIR), {})
    assert (found.wins, found.errors, found.rows) == (PROMPTS - 3, 3, PROMPTS - 3)
    assert found.reasons == [
        ("no reply within the time limit", 2),
        ("the reply names neither A nor B nor TIE", 1),
    ]
    asked = []
    lock = threading.Lock()

    def counts(messages):
        with lock:
            asked.append(messages)
        return _prefers_good(messages)

    judge(evaluation, PAIR, counts)
    assert len(asked) == 6
    assert summarize(read_judgments(evaluation, PAIR), {}).wins == PROMPTS


def test_a_judge_that_is_gone_is_given_up_and_valid_replies_stay(judged):
    _, evaluation = judged
    calls = itertools.count()

    def dies(messages):
        if next(calls) >= 10:
            raise JudgeError("no connection to http://judge")
        return _prefers_good(messages)

    with pytest.raises(StudioError, match="failed 12 times in a row, the last time: no connection"):
        judge(evaluation, PAIR, dies)
    kept = sum(len(judgment.choices) for judgment in read_judgments(evaluation, PAIR).values())
    assert kept == 10


def test_half_a_line_of_a_crash_is_asked_again(judged):
    _, evaluation = judged
    judge(evaluation, PAIR, _prefers_good)
    path = judgments_file(evaluation, PAIR)
    path.write_bytes(path.read_bytes()[:-9])
    judge(evaluation, PAIR, _prefers_good)
    assert summarize(read_judgments(evaluation, PAIR), {}).wins == PROMPTS
    assert len(path.read_bytes().splitlines()) == 2 * PROMPTS


def test_a_damaged_line_hides_no_other_reply_and_is_asked_again(judged, capsys):
    _, evaluation = judged
    judge(evaluation, PAIR, _prefers_good)
    path = judgments_file(evaluation, PAIR)
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\x00" * (len(first) - 1) + b"\n" + b"".join(others))
    assert summarize(read_judgments(evaluation, PAIR), {}).wins == PROMPTS - 1
    assert "line 1, cannot be read and is left out" in capsys.readouterr().err
    judge(evaluation, PAIR, _prefers_good)
    assert summarize(read_judgments(evaluation, PAIR), {}).wins == PROMPTS


def test_hostile_names_of_judges_stay_in_the_folder(judged):
    _, evaluation = judged
    for name in ("../../x", "a" * 5000, "\0", "judge/one"):
        path = judgments_file(evaluation, Pair(0, 1, name))
        assert path.parent == evaluation.folder / "judgments"
        assert len(path.name) < 40


def test_the_probes_of_the_guard_are_neither_asked_about_nor_counted(settings, tmp_path):
    store, evaluation = judged_evaluation(settings, tmp_path, guard=True)
    # An earlier version asked about them.
    path = judgments_file(evaluation, PAIR)
    path.parent.mkdir()
    path.write_text(json.dumps({"prompt": PROMPTS, "order": 0, "choice": "A", "error": "", "reply": "A"}) + "\n")
    judge(evaluation, PAIR, _prefers_good)
    scored = scoring.load(evaluation)
    found = summarize(read_judgments(evaluation, PAIR), {}, scored.clusters)
    assert (found.rows, found.wins, len(scored.clusters)) == (PROMPTS, PROMPTS, PROMPTS)
    assert len(list(result.iterate_rows(store, evaluation))) == PROMPTS
