"""`python -m core answers …` on evaluations that are only files; the worker has tests of its own."""

import pytest

from core.evaluate.answers_file import AnswerWriter
from core.evaluate.config import EvaluationConfig
from core.evaluate.store import EvaluationStore


@pytest.fixture
def evaluation(home):
    made = EvaluationStore(home).create(EvaluationConfig(subset="keeper", limit=2))
    line = {"prompt": 1, "lane": 0, "text": "Aye.", "tokens": 3, "end": "end", "note": "", "exact": False, "f1": 0.25}
    AnswerWriter(made.answers_file).write([line])
    return made


def test_list_and_show(ok, evaluation):
    assert ok("answers", "list") == f"{evaluation.id}  stopped  1 of 2 prompts\n"
    said = ok("answers", "show", evaluation.id)
    assert "1 of 2 prompts of all rows of the subset keeper" in said
    assert "base: 1 answers, 100% ended by themselves, 3 tokens on average, 0.250 F1 of words" in said
    assert ok("answers", "follow", evaluation.id).startswith("1 of 2 answers\nstopped: ")


def test_what_is_there_is_exported_and_opened(ok, evaluation, home):
    path = ok("answers", "export", evaluation.id, "--files", "csv").strip()
    assert path == str(home.exports_dir / f"answers-{evaluation.id}-1-of-2.csv")
    assert "1 rows, 1 usable, messages (" in ok("answers", "open", evaluation.id)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start"], "no run is named whose held-out rows could be asked"),
        (["start", "--lanes", "base", "--lanes", "base", "--subset", "keeper"], "'base' is there twice"),
        (["start", "--subset", "keeper", "--limit", "0"], "--limit: "),
        (["start", "--subset", "keeper", "--lanes", "none"], "There is no run 'none'"),
        (["show", "../runs"], "cannot be used as a name of an evaluation"),
        (["pause", "none"], "There is no evaluation 'none'"),
        (["export", "none"], "There is no evaluation 'none'"),
    ],
    ids=str,
)
def test_a_mistake_is_a_sentence_and_exit_code_2(say, home, words, said):
    code, out, err = say("answers", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert list(home.evaluations_dir.glob("[!.]*")) == []


@pytest.mark.parametrize("what", ["pause", "stop"])
def test_what_has_ended_is_neither_paused_nor_stopped(say, evaluation, what):
    assert say("answers", what, evaluation.id)[2] == (
        f"The evaluation {evaluation.id} is stopped: there is nothing to {what}.\n"
    )
