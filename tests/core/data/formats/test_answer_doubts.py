"""Other answers, ranks, failures and verdicts beside the answers make the page ask."""

import json

import pytest

from core.data.formats.detect import detect

QUESTIONS = ["How do tides come about?", "Who keeps the light?", "Why is the sea so salty?", "Name three birds."]
PROSE = ["The moon pulls the water.", "The keeper does, alone.", "Rivers carry salt.", "Gull, tern and auk."]
OTHER = ["By the moon, I think.", "Nobody keeps it now.", "Salt comes with rivers.", "Robin, wren and rook."]


def rows_of(**columns):
    return [{name: values[i] for name, values in columns.items()} for i in range(4)]


def chats(answers, **more):
    """Return rows of one question and answer, with further fields of each answer."""
    turns = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": a} | {k: v[i] for k, v in more.items()}]
        for i, (q, a) in enumerate(zip(QUESTIONS, answers, strict=True))
    ]
    return rows_of(messages=turns)


ASKED = {
    "a reference": (rows_of(user_input=QUESTIONS, response=OTHER, reference=PROSE), "'reference' may hold the answer"),
    "a ground truth": (rows_of(question=QUESTIONS, answer=OTHER, ground_truth=PROSE), "'ground_truth'"),
    "an ideal answer": (rows_of(prompt=QUESTIONS, completion=OTHER, ideal=PROSE), "'ideal' may hold"),
    "a rank": (rows_of(prompt=QUESTIONS, response=[["No.", t] for t in PROSE], rank=[[1, 0]] * 4), "'rank' may say"),
    "scores": (rows_of(prompt=QUESTIONS, answers=[["No.", t] for t in PROSE], scores=[[0.1, 0.9]] * 4), "'scores'"),
    "a status": (rows_of(question=QUESTIONS, answer=PROSE, status=["ok", "error"] * 2), "'status' may mark"),
    "a reason to stop": (rows_of(prompt=QUESTIONS, response=PROSE, finish_reason=["stop", "length"] * 2), "('length')"),
    "an error": (rows_of(prompt=QUESTIONS, response=PROSE, error=[None, "timed out here", None, None]), "'error'"),
    "a failed chat": ([row | {"status": s} for row, s in zip(chats(PROSE), ["done", "failed"] * 2, strict=True)],
                      "('failed')"),
    "an edited answer": (chats(OTHER, edited_content=PROSE), "'edited_content'"),
    "a corrected answer": (chats(OTHER, corrected=[None, None, None, PROSE[3]]), "'corrected'"),
    "feedback": (chats(PROSE, feedback=[{"rating": "good"}, {"rating": "bad"}] * 2), "says which answers are bad"),
    "thumbs": (chats(PROSE, thumbs=["up", "down"] * 2), "says which answers are bad"),
    "several answers in a turn": (chats([["No.", text] for text in PROSE]), "several answers or the parts of one"),
    "a history in all rows, as text": (
        rows_of(history=['[{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]'] * 4,
                question=QUESTIONS, answer=PROSE), "history"),
    "a history in some rows": (
        rows_of(history=[[], [], [], [{"role": "user", "content": "Hi."}]], question=QUESTIONS, answer=PROSE),
        "'history' may belong to the question"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_detect_asks_and_names_the_column(name):
    rows, words = ASKED[name]
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    assert words in found.evidence
    assert any(reading.format not in ("text", "undecided") for reading in found.candidates)


TALK = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]


@pytest.mark.parametrize("filled", [1, 4])
@pytest.mark.parametrize("name", ["conversations", "previous_turns", "memory", "dialogHistory"])
@pytest.mark.parametrize("value", [TALK, json.dumps(TALK), [{"input": "Hi.", "output": "Hello."}]])
def test_detect_turns_before_the_question_are_asked_about(name, value, filled):
    rows = rows_of(**{name: [value] * filled + [[]] * (4 - filled)}, question=QUESTIONS, answer=PROSE)
    assert detect(rows).reading.format == "undecided"


@pytest.mark.parametrize("value", ["User: Hi.\nBot: Hello.", ["Hi.", "Hello."], [["Hi.", "Hello."]]])
def test_detect_column_named_history_is_asked_about(value):
    rows = rows_of(chat_history=[value] * 4, input=QUESTIONS, output=PROSE)
    assert detect(rows).reading.format == "undecided"


SURE = {
    "a copy of the conversation": rows_of(
        question=QUESTIONS,
        answer=[f'{text}\n"So."' for text in PROSE],
        talk=[
            [{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": f'{text}\n"So."'}] for text in PROSE
        ],
    ),
    "the question as a turn": rows_of(
        prompt=QUESTIONS, response=PROSE, asked=[[{"role": "user", "content": text}] for text in QUESTIONS]
    ),
    "no history": rows_of(history=[[]] * 4, question=QUESTIONS, answer=PROSE),
    "a copy as the reference": rows_of(question=QUESTIONS, answer=PROSE, reference=PROSE),
    "the result in the answer": rows_of(question=QUESTIONS, answer=PROSE, ground_truth=[t[4:] for t in PROSE]),
    "links as the reference": rows_of(question=QUESTIONS, answer=PROSE, reference=["https://a.b/c"] * 4),
    "all fine": rows_of(question=QUESTIONS, answer=PROSE, status=["ok"] * 4, finish_reason=["stop"] * 4),
    "good feedback": chats(PROSE, feedback=[{"rating": "good"}] * 4),
    "an edit that changed nothing": chats(PROSE, edited_content=PROSE),
    "a list of one text": chats([[text] for text in PROSE]),
    "no errors": rows_of(prompt=QUESTIONS, response=PROSE, error=[None] * 4),
}


@pytest.mark.parametrize("name", SURE)
def test_detect_stays_sure(name):
    assert detect(SURE[name]).is_sure, detect(SURE[name]).evidence


@pytest.mark.parametrize("name", ["documents", "contexts", "retrieved_contexts", "passages", "docs", "search_results"])
@pytest.mark.parametrize("value", [["One says a.", "Two says b."], "One says a."])
def test_detect_documents_are_the_context(name, value):
    rows = [row | {name: value} for row in rows_of(question=QUESTIONS, answer=PROSE)]
    found = detect(rows)
    parsed = found.reading.read(rows[0])
    assert "One says a." in parsed.messages[0]["content"]
    assert not parsed.unread
