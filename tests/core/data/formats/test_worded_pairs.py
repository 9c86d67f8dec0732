"""Columns whose names hold a word for a question and an answer are read, or offered as a choice."""

import pytest

from core.data.formats.detect import detect

QUESTIONS = ["How do tides come about?", "Who keeps the light?", "Why is the sea so salty?", "Name three birds."]
ANSWERS = ["The moon pulls the water.", "The keeper does, alone.", "Rivers carry salt there.", "Gull, tern and auk."]


def rows_of(**columns):
    return [{name: values[i] for name, values in columns.items()} for i in range(4)]


def named(question, answer, **more):
    return rows_of(**{question: QUESTIONS, answer: ANSWERS}, **more)


SURE = [
    ("questionText", "answerText"), ("question_body", "answer_body"), ("Question Text", "Answer Text"),
    ("promptText", "completionText"), ("QuestionContent", "ResponseContent"), ("full_question", "full_answer"),
]  # fmt: skip


@pytest.mark.parametrize("pair", SURE)
def test_detect_words_of_names_are_read(pair):
    found = detect(named(*pair, questionID=[1, 2, 3, 4]))
    assert found.is_sure, found.evidence
    messages = found.reading.parse(named(*pair)[0])
    assert [m["content"] for m in messages] == [QUESTIONS[0], ANSWERS[0]]


OFFERED = {
    "a form": named("What is your question?", "What is the best answer?", Timestamp=["1/1/2026 10:00:00"] * 4),
    "a long form": named(
        "What question do you hear from most of your customers?",
        "How would you answer it in your own words? (2-3 sentences)",
        sure=[1, 2, 3, 4],
    ),
    "Anki": named("Front", "Back", Tags=["a b"] * 4),
    "Quizlet": named("term", "definition"),
    "a patient": named("Patient", "Doctor", Description=[f"Q. {text}" for text in QUESTIONS]),
    "a customer": named("customer", "agent"),
    "a student": named("Student", "Tutor", id=[1, 2, 3, 4]),
    "a title beside the question": named("questionText", "answerText", questionTitle=[f"On {q}" for q in QUESTIONS]),
    "a further text": named("questionText", "answerText", remark=[f"I wonder: {text}" for text in ANSWERS]),
    "an answer of a model": named("user_question", "model_answer"),
    "a verdict": named("questionText", "answerText", is_correct=[1, 0, 1, 0]),
    "a second form": named("Enter the question here", "Type your reply"),
}


@pytest.mark.parametrize("rows", OFFERED.values(), ids=OFFERED)
def test_detect_likely_pair_is_offered_first(rows):
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    messages = found.candidates[0].parse(rows[0])
    assert [m["content"] for m in messages] == [QUESTIONS[0], ANSWERS[0]]


@pytest.mark.parametrize(
    "rows",
    [
        rows_of(question_id=QUESTIONS, text=ANSWERS),
        rows_of(question=QUESTIONS, response_0=ANSWERS, response_1=QUESTIONS),
        rows_of(doctor=["Ann Lee", "Bo Lund", "Cy Ray", "Di Fay"], text=ANSWERS),
    ],
)
def test_detect_no_pair_in_other_names(rows):
    assert all(reading.format != "prompt_completion" for reading in detect(rows).candidates[:1])


def test_detect_pairs_of_several_languages_agree_in_the_rest_of_their_names():
    rows = rows_of(question_en=QUESTIONS, answer_en=ANSWERS, question_de=ANSWERS, answer_de=QUESTIONS)
    found = detect(rows)
    assert found.reading.format == "undecided"
    pairs = [(reading.columns.get("prompt"), reading.columns.get("completion")) for reading in found.candidates]
    assert pairs[:2] == [("question_en", "answer_en"), ("question_de", "answer_de")]
    assert ("question_de", "answer_en") not in pairs


def test_detect_two_languages_offer_both_directions():
    found = detect(rows_of(en=QUESTIONS, fr=ANSWERS))
    assert found.reading.format == "undecided"
    assert [reading.columns for reading in found.candidates if reading.format == "prompt_completion"] == [
        {"prompt": "en", "completion": "fr"},
        {"prompt": "fr", "completion": "en"},
    ]


def test_detect_two_names_of_questions_offer_both_directions():
    rows = rows_of(query=[f"SELECT {i} FROM sea" for i in range(4)], question=QUESTIONS)
    offered = [reading for reading in detect(rows).candidates if reading.format == "prompt_completion"]
    pairs = [[message["content"] for message in reading.parse(rows[0])] for reading in offered]
    assert pairs == [["SELECT 0 FROM sea", QUESTIONS[0]], [QUESTIONS[0], "SELECT 0 FROM sea"]]


def test_answers_of_argilla_in_lists_are_offered():
    lists = {"corrected.responses": [[one] for one in ANSWERS], "corrected.responses.users": [["u"]] * 4,
             "corrected.responses.status": [["submitted"]] * 4}  # fmt: skip
    rows = rows_of(instruction=QUESTIONS, generated=["It is not known to me."] * 3 + ["No."], **lists)
    found = detect(rows)
    assert found.reading.format == "undecided"
    first = next(one for one in found.candidates if "corrected.responses" in one.columns.values())
    assert [one["content"] for one in first.parse(rows[0])] == [QUESTIONS[0], ANSWERS[0]]
    assert all("corrected.responses.users" not in one.columns.values() for one in found.candidates)


@pytest.mark.parametrize(
    ("question", "answer"),
    [("Ticket Description", "Resolution"), ("Issue", "Resolution"), ("error", "fix"), ("Complaint", "Company response"),
     ("docstring", "code")],
)  # fmt: skip
def test_a_case_and_what_came_of_it_are_offered_first(question, answer):
    rows = named(question, answer, **{"Ticket Subject": ["The sea"] * 4, "Customer Name": ["Ann Lee"] * 4})
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert found.candidates[0].columns == {"prompt": question, "completion": answer}


def test_passage_beside_questions_is_no_question_of_them():
    rows = rows_of(passage=ANSWERS, question=QUESTIONS, answer=[{"number": "3", "date": {"day": ""}, "spans": []}] * 4)
    found = detect(rows)
    assert found.reading.format == "undecided"
    parsed = found.candidates[0].read(rows[0])
    assert [m["content"] for m in parsed.messages] == [f"{QUESTIONS[0]}\n\n{ANSWERS[0]}", "3"]
    assert parsed.notes == ["of completion, only the field 'number' has a value, which is used"]


@pytest.mark.parametrize("pair", [("column_2", "column_4"), ("text_1", "text_2")])
def test_two_texts_with_numbers_in_their_names_are_offered(pair):
    found = detect(rows_of(column_1=[7, 8, 9, 5], **{pair[0]: QUESTIONS, pair[1]: ANSWERS}))
    offered = [one.columns for one in found.candidates if one.format == "prompt_completion"]
    assert {"prompt": pair[0], "completion": pair[1]} in offered
