"""Tests of core.evaluate.judge.people and of the agreement in the summary."""

import numpy as np

from core.chat import votes
from core.chat.types import GenerationResult
from core.evaluate.judge.judging import Judgment, Pair
from core.evaluate.judge.people import blind_votes
from core.evaluate.judge.summary import summarize

PAIR = Pair(0, 1, "judge")


def _vote(store, question, verdict, *, blind=True, runs=("", "run-1")):
    answers = [
        GenerationResult(lane=n, base="b", run=run, adapter="final" if run else "", text="t")
        for n, run in enumerate(runs)
    ]
    vote = votes.Vote(
        chat="c", messages=[{"role": "user", "content": question}], answers=answers, verdict=verdict, blind=blind
    )
    votes.add(votes.votes_path(store.settings, "b"), vote)


def test_blind_votes_on_the_same_prompts_and_models_count(judged):
    store, evaluation = judged
    _vote(store, "Question 1?", "right")
    _vote(store, "Question 2?", "left", runs=("run-1", ""))
    _vote(store, "Question 3?", "both bad")
    _vote(store, "Question 4?", "left")
    _vote(store, "Question 5?", "right", blind=False)
    _vote(store, "Question 6?", "right", runs=("", "run-2"))
    _vote(store, "Another question?", "right")
    # The last vote on a prompt counts.
    _vote(store, "Question 1?", "left")
    assert blind_votes(store, evaluation, PAIR) == {1: "first", 2: "second", 3: "tie", 4: "first"}


def test_agreement_is_shown_and_the_win_rate_is_corrected_once_there_are_votes_enough():
    # The judge always prefers the second lane; people do so in half of the rows.
    judgments = {row: Judgment({0: "B", 1: "A"}, {}) for row in range(60)}
    people = {row: "second" if row % 2 else "first" for row in range(30)}
    found = summarize(judgments, people, np.arange(60))
    assert (found.win_rate, found.agreement.rows, found.agreement.agreed) == (1.0, 30, 15)
    # A constant judge says nothing, so the votes alone decide.
    assert found.agreement.corrected.weight == 0
    assert found.agreement.corrected.low < 0.5 < found.agreement.corrected.high
    few = summarize(judgments, dict(list(people.items())[:5]))
    assert (few.agreement.rows, few.agreement.corrected, few.interval) == (5, None, None)
