"""Each doubt that a column beside a reading raises is raised beside every format."""

import pytest

from core.data.formats.detect import detect
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of, turns

LABELS = ["tides", "light", "tides", "light"]
FORMATS = {
    "messages": rows_of(messages=[turns(text) for text in PROSE]),
    "sharegpt": rows_of(
        conversations=[[{"from": "human", "value": "Is it so?"}, {"from": "gpt", "value": text}] for text in PROSE]
    ),
    "alpaca": rows_of(instruction=QUESTIONS, output=PROSE),
    "prompt_completion": rows_of(prompt=QUESTIONS, completion=PROSE),
    "worded columns": rows_of(questionText=QUESTIONS, answerText=PROSE),
    "preference": rows_of(prompt=QUESTIONS, chosen=PROSE, rejected=["No."] * 4),
    "rated": rows_of(prompt=QUESTIONS, completion=PROSE, label=[True, False, True, True]),
    "rated turns": rows_of(messages=[turns(text) for text in PROSE], label=[True, False, True, True]),
    "alternating texts": rows_of(dialog=[["Is it so?", text] for text in PROSE]),
    "tree": rows_of(prompt=[{"role": "prompter", "text": q, "replies": [{"role": "assistant", "text": a}]}
                            for q, a in zip(QUESTIONS, PROSE, strict=True)]),
    "guanaco": rows_of(text=[f"### Human: Is it so?### Assistant: {text}" for text in PROSE]),
    "llama2": rows_of(text=[f"<s>[INST] Is it so? [/INST] {text} </s>" for text in PROSE]),
    "marked": rows_of(text=[f"USER: Is it so?\nASSISTANT: {text}" for text in PROSE]),
    "label": rows_of(text=[f"{text} " * 4 for text in PROSE], label=LABELS),
    "text": rows_of(text=[f"{text} " * 9 for text in PROSE]),
}  # fmt: skip
DOUBTS = {
    "Prodigy's answers": ("answer", ["accept", "accept", "reject", "ignore"]),
    "a decision": ("decision", ["approved", "declined", "approved", "approved"]),
    "a status of annotations": ("record_status", ["kept", "discarded", "kept", "kept"]),
    "a flag of approval": ("approved", ["yes", "no", "yes", "yes"]),
    "a flag to keep": ("keep", [True, False, True, True]),
    "a failure": ("status", ["ok", "error", "ok", "ok"]),
    "an error": ("error_message", [None, "The request timed out.", None, None]),
    "an HTTP status": ("status", [200, 200, 500, 200]),
    "an HTTP status as text": ("http_status", ["200 OK", "200 OK", "429 Too Many Requests", "200 OK"]),
    "a status code of a float column": ("status_code", [200.0, 404.0, 200.0, 200.0]),
    "a flag of deletion": ("is_deleted", ["FALSE", "TRUE", "FALSE", "FALSE"]),
    "a flag of deletion in a database": ("isDeleted", ["f", "f", "t", "f"]),
    "a flag of deletion of one kind": ("Deleted", [None, "yes", None, None]),
    "a flag of an archive": ("archived", [0, 0, 1, 0]),
    "a flag of a live row": ("is_active", [True, False, True, True]),
    "a flag of the newest row": ("is_latest", ["1", "0", "1", "1"]),
    "a date of deletion": ("deleted_at", [None, "2024-02-13 10:00:00", None, None]),
    "a number of a date of deletion": ("deletedAt", [0, 1707818400, "", None]),
    "another date of deletion": ("DeletionDate", [None, "2024-02-13", None, None]),
    "a newer row": ("superseded_by", ["", "", "101", ""]),
    "a state": ("state", ["published", "archived", "published", "published"]),
    "a mask of turns": ("loss_mask", [[0, 1], [1, 1], [0, 1], [0, 1]]),
    "a corrected answer": ("corrected_response", ["A.", "The tide is late.", "It is salt itself.", "Tern and wren."]),
    "reasoning": ("generation", [f"<think>Let me see: {text}</think> {number}" for number, text in enumerate(PROSE)]),
    "a right answer": ("ground_truth", ["It is the moon alone.", "Nobody does.", "It is salt.", "Tern and wren."]),
}


def test_detect_rows_without_a_doubtful_column_stays_sure():
    unsure = [name for name, rows in FORMATS.items() if not detect(rows).is_sure]
    assert not unsure


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("doubt", DOUBTS)
def test_detect_asks_for_every_doubt_beside_every_format(form, doubt):
    name, values = DOUBTS[doubt]
    found = detect([row | {name: value} for row, value in zip(FORMATS[form], values, strict=True)])
    assert found.reading.format == "undecided", found.evidence
    assert repr(name) in found.evidence
    assert found.candidates


@pytest.mark.parametrize(
    ("form", "name", "values"),
    [
        ("label", "weight", [3, 4, 5, 6]),
        ("label", "sentiment", ["good", "bad"] * 2),
        ("text", "feedback", ["good", "like", "good", "like"]),
        ("text", "rating", [1, 2, 3, 4]),
        ("prompt_completion", "status", [200, 201, 200, 204]),
        ("prompt_completion", "is_deleted", ["FALSE"] * 4),
        ("prompt_completion", "is_active", [True] * 4),
        ("prompt_completion", "deleted_at", [None] * 4),
        ("prompt_completion", "archived_at", ["2024-02-13", "2024-02-14", "2024-02-15", "2024-02-16"]),
        ("prompt_completion", "updated_at", [None, "2024-02-13", None, None]),
        ("prompt_completion", "created_by", ["eve", None, "ada", None]),
        ("prompt_completion", "is_public", [True, False] * 2),
        ("guanaco", "instruction", ["Is it so?"] * 4),
        ("messages", "answer", PROSE),
        ("preference", "response_a", PROSE),
    ],
)
def test_detect_column_about_the_text_or_a_copy_raises_no_doubt(form, name, values):
    found = detect([row | {name: value} for row, value in zip(FORMATS[form], values, strict=True)])
    assert found.is_sure, found.evidence


def test_detect_verdicts_as_the_output_of_an_instruction_are_answers():
    rows = rows_of(instruction=QUESTIONS, output=["accept", "reject"] * 2)
    assert detect(rows).reading.format == "alpaca"
