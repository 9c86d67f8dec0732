"""Lists of texts are offered as pairs or as answers to a question before turns by position, and always with doubt."""

import json

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.answer_lists import best_answer, is_answer_list
from core.data.formats.conversation import usual_role
from core.data.formats.detect import detect
from tests.helpers.datasets import dialog
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of

ASKED, GIVEN = (
    [QUESTIONS[:2], QUESTIONS[2:], QUESTIONS[:3], QUESTIONS[1:3]],
    [PROSE[:2], PROSE[2:], PROSE[:3], PROSE[1:3]],
)
FIRST = dialog(QUESTIONS[0], PROSE[0], QUESTIONS[1], PROSE[1])
PAIRED = {
    "lists": rows_of(questions=ASKED, answers=GIVEN),
    "lists without usual names": rows_of(utterances=ASKED, antworten=GIVEN),
    "lists written as JSON": rows_of(questions=list(map(json.dumps, ASKED)), answers=list(map(json.dumps, GIVEN))),
    "answers in an object": rows_of(questions=ASKED, answers=[{"input_text": a, "answer_start": [0]} for a in GIVEN]),
    "numbered columns": rows_of(
        **{"Topic": ["sea"] * 4, "Question 1": QUESTIONS, "Answer 1": PROSE,
           "Question 2": QUESTIONS[1:] + QUESTIONS[:1], "Answer 2": PROSE[1:] + PROSE[:1]}
    ),
}  # fmt: skip


def forum(**more):
    answers = [{"author": "eve", "text": "The moon."}, {"author": "bob", "text": "No idea."}]
    return [answer | {key: values[i] for key, values in more.items()} for i, answer in enumerate(answers)]


@pytest.mark.parametrize("rows", PAIRED.values(), ids=PAIRED)
def test_detect_offers_paired_turns_first(rows):
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert found.candidates[0].format == "paired"
    read = found.candidates[0].read(rows[0])
    assert read.messages == FIRST
    assert read.unread in ([], ["Topic"])


def test_paired_lists_of_different_lengths_are_refused_with_numbers():
    with pytest.raises(UnusableRow, match="2 questions and 1 answer; expected the same number of each"):
        Reading(format="paired").parse({"questions": ["a", "b"], "answers": ["c"]})


def test_paired_lists_read_context_and_system():
    row = {"questions": ["a?", "b?"], "answers": ["c", "d"], "story": "s", "system": "Be brief."}
    expected = dialog("a?\n\ns", "c", "b?", "d", system="Be brief.")
    assert Reading(format="paired", columns={"context": "story"}).parse(row) == expected


def test_detect_lists_of_different_lengths_are_one_question_and_one_answer():
    rows = rows_of(tag=list("abcd"), patterns=ASKED, responses=[[text] for text in PROSE])
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert "different lengths" in found.evidence
    assert found.candidates[0].columns == {"prompt": "patterns", "completion": "responses"}


def test_detect_list_beside_a_question_offers_first_text_before_turns():
    found = detect(rows_of(problem=QUESTIONS, generations=GIVEN))
    assert found.reading.format == "undecided"
    formats = [reading.format for reading in found.candidates]
    assert formats.index("prompt_completion") < formats.index("messages")
    assert found.candidates[0].parse({"problem": "a?", "generations": ["b", "c"]}) == dialog("a?", "b")


def test_detect_words_of_a_sentence_are_no_turns():
    found = detect(rows_of(tokens=[text.split() for text in PROSE], tags=[[0, 3, 0, 1, 2]] * 4))
    assert found.reading.format == "undecided"
    assert not found.candidates


@pytest.mark.parametrize("name", ["messages", "patterns"])
def test_turns_by_position_are_noted(name):
    read = Reading(format="messages", columns={"messages": name}).read({name: ["a?", "b"]})
    assert read.messages == dialog("a?", "b")
    assert "by their position" in read.notes[0]


def test_detect_authors_of_answers_beside_a_question_are_no_roles():
    rows = rows_of(question=QUESTIONS, answers=[forum(selected=[False, True])] * 4)
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert "best rated" in found.evidence
    assert all(reading.format != "messages" for reading in found.candidates)
    assert found.candidates[0].parse(rows[0]) == dialog(QUESTIONS[0], "No idea.")


@pytest.mark.parametrize(
    ("more", "text", "note"),
    [
        ({"selected": [False, True]}, "No idea.", "'selected'"),
        ({"score": [1, 3]}, "No idea.", "highest 'score'"),
        ({"score": [1, 3], "is_accepted": [True, False]}, "The moon.", "'is_accepted'"),
        ({"score": [None, None]}, "The moon.", "the first"),
        ({"rank": [2.0, 1.0]}, "No idea.", "lowest 'rank'"),
    ],
)
def test_best_answer_is_the_flagged_or_best_rated_one(more, text, note):
    notes = []
    assert is_answer_list(forum(**more), usual_role)
    assert best_answer(forum(**more), "completion", notes.append) == text
    assert note in notes[0]


@pytest.mark.parametrize(
    "value",
    [
        "text",
        [],
        ["a"],
        [{"name": "f", "arguments": {}}],
        [{"text": "a"}],
        [{"role": "user", "content": "a", "score": 1}],
    ],
)
def test_other_lists_are_no_answers_to_choose_from(value):
    assert not is_answer_list(value, usual_role)


@pytest.mark.parametrize("name", ["references", "translations", "ref_texts"])
def test_detect_offers_the_first_of_several_references_for_the_only_text(name):
    rows = rows_of(source_text=QUESTIONS, n=[2, 2, 2, 2], **{name: [[text, f"{text} Truly."] for text in PROSE]})
    offered = [reading for reading in detect(rows).candidates if reading.format == "prompt_completion"]
    assert [message["content"] for message in offered[0].parse(rows[0])] == [QUESTIONS[0], PROSE[0]]


def test_prompt_rendered_without_its_answer_is_the_question_of_ranked_answers():
    # Nectar.
    answers = [{"answer": "No idea.", "model": "a", "rank": 2.0}, {"answer": "The moon.", "model": "b", "rank": 1.0}]
    rows = rows_of(prompt=[f"\n\nHuman: {one}\n\nAssistant: " for one in QUESTIONS], answers=[answers] * 4)
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert found.candidates[0].parse(rows[0]) == dialog(QUESTIONS[0], "The moon.")
    assert all(one.format != "marked" for one in found.candidates)


@pytest.mark.parametrize("write", [lambda texts: texts, json.dumps, str])
@pytest.mark.parametrize("name", ["solutions", "answers", "references"])
def test_several_answers_written_as_text_are_a_list(name, write):
    # APPS writes its solutions as JSON, and pandas writes lists into CSV files as Python does.
    rows = rows_of(question=QUESTIONS, input_output=['{"inputs": [1]}'] * 4,
                   **{name: [write(["print(1)", "print(2)"])] * 4})  # fmt: skip
    found = detect(rows)
    columns = {"prompt": "question", "completion": name}
    parsed = Reading(format="prompt_completion", columns=columns).read(rows[0])
    assert parsed.messages[-1]["content"] == "print(1)"
    assert "completion is a list of answers; the first is used" in parsed.notes
    assert all("input_output" not in one.columns.values() for one in found.candidates if one.format != "text")
