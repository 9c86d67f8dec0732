"""Where nothing is certain, the offers hold the plausible reading, also of a text inside lists and objects."""

import pytest

from core.data.formats.detect import detect
from core.data.formats.envelopes import find_text
from core.data.formats.reading import Reading
from core.data.report import reading_label
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of


def gateway(text):
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": {"total_tokens": 5}}


def annotations(value):
    result = [{"value": value, "from_name": "answer", "to_name": "text", "type": "textarea"}]
    return [{"id": 0, "completed_by": 3, "was_cancelled": False, "result": result}]


OFFERED = {
    "a forum": rows_of(title=QUESTIONS, body=PROSE[::-1], accepted_answer=PROSE, score=[1, 2, 3, 4]),
    "a mail": rows_of(subject=QUESTIONS, description=PROSE[::-1], agent_reply=PROSE, score=[1, 2, 3, 4]),
    "a body alone": rows_of(selftext=QUESTIONS, top_answer=PROSE, note=PROSE[::-1]),
    "Argilla": rows_of(**{"instruction": QUESTIONS, "generation": PROSE[::-1],
                          "corrected_response.responses": [[text] for text in PROSE],
                          "corrected_response.responses.status": [["submitted"]] * 4}),
    "Label Studio": rows_of(data=[{"text": text} for text in QUESTIONS],
                            annotations=[annotations({"text": [text]}) for text in PROSE], predictions=[[]] * 4),
    "a gateway": rows_of(request=[{"model": "m", "messages": [{"role": "user", "content": text}]}
                                  for text in QUESTIONS],
                         response=[gateway(text) for text in PROSE], status=[200, 200, 500, 200]),
    "a response of parts": rows_of(prompt=QUESTIONS,
                                   response=[{"role": "assistant", "content": [{"type": "text", "text": text}]}
                                             for text in PROSE]),
    "an instruction with an object": rows_of(instruction=QUESTIONS, output=[{"text": text} for text in PROSE]),
    "doccano": rows_of(id=[0, 1, 2, 3], text=QUESTIONS, label=[[text[:9]] for text in PROSE], Comments=[[]] * 4),
    "doccano's categories": rows_of(text=[f"{text} So?" for text in QUESTIONS], labels=[["a"], ["b"]] * 2),
}  # fmt: skip


@pytest.mark.parametrize("rows", OFFERED.values(), ids=OFFERED)
def test_detect_first_offer_is_the_plausible_reading(rows):
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    messages = found.candidates[0].parse(rows[0])
    assert QUESTIONS[0] in messages[0]["content"]
    assert messages[-1]["role"] == "assistant"
    assert "{" not in messages[-1]["content"]
    assert messages[-1]["content"] in (PROSE[0], PROSE[0][:9], "a")


def test_detect_correction_and_corrected_answer_are_both_offered():
    rows = OFFERED["Argilla"]
    answers = [r.parse(rows[0])[-1]["content"] for r in detect(rows).candidates if r.format == "prompt_completion"]
    assert answers == [PROSE[0], PROSE[-1]]


def test_detect_gateway_names_the_failed_rows():
    assert "'status' may mark answers that failed ('500')" in detect(OFFERED["a gateway"]).evidence


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (gateway("Gull."), "choices[0].message.content"),
        (annotations({"choices": ["Gull."]}), "[0].result[0].value.choices[0]"),
        (["Gull."], "[0]"),
        ({"text": "Gull."}, "text"),
        ({"value": {"text": ["Gull."]}}, "value.text[0]"),
        ({"content": "Gull.", "role": "assistant", "refusal": None}, "content"),
        (["Gull.", "Tern."], None),
        ({"text": "Gull.", "city": "Rome"}, None),
        ({"text": "Gull.", "type": "bird"}, None),
        ({"choices": [{"text": "a"}, {"text": "b"}]}, None),
        ({"text": 3}, None),
        ("Gull.", None),
        ({}, None),
    ],
)
def test_find_text_returns_the_only_text(value, path):
    assert find_text(value) == (None if path is None else (path, "Gull."))


@pytest.mark.parametrize("answer", ['{"text": "Gull."}', {"bird": "Gull.", "sea": "North"}])
def test_read_answer_in_json_stays_whole(answer):
    assert "{" in Reading(format="prompt_completion").parse({"prompt": "Which?", "completion": answer})[1]["content"]


@pytest.mark.parametrize("answer", [{"bird": "Gull.", "sea": "North"}, [{"size": 1, "answer": "Gull."}], {"a": [1, 2]}])
def test_offer_says_that_an_object_is_written_as_json(answer):
    rows = rows_of(prompt=QUESTIONS, completion=[answer] * 4)
    found = detect(rows)
    assert "written as JSON" in found.evidence
    assert "completion written as JSON" in reading_label(found.candidates[0], rows)


@pytest.mark.parametrize("name", ["payload", "record", "event"])
def test_detect_without_an_offer_says_into_which_form_to_convert(name):
    found = detect(rows_of(**{name: [{"a": {"b": text}, "c": text} for text in PROSE]}))
    assert "rite one column with the question and one with the answer" in found.evidence


def _annotation(text, **more):
    value = [{"value": {"text": [text]}, "from_name": "answer", "to_name": "prompt", "type": "textarea"}]
    kept = {"id": 1, "completed_by": 4, "was_cancelled": False, "ground_truth": False, "result_count": 1}
    return kept | {"result": value, "prediction": {}, "last_action": None, "parent_annotation": 7} | more


CANCELLED = _annotation("skip", was_cancelled=True)
CHOSEN = {
    "one": [_annotation("Right.")],
    "one after a cancelled one": [CANCELLED, _annotation("Right.")],
    "the ground truth": [_annotation("dunno"), _annotation("Right.", ground_truth=True)],
    "the first of two": [_annotation("Right."), _annotation("Other.")],
    "no cancelled ground truth": [_annotation("skip", was_cancelled=True, ground_truth=True), _annotation("Right.")],
}
LEFT_OUT = {
    "cancelled": [CANCELLED],
    "cancelled without a result": [_annotation("x", was_cancelled=True, result=[])],
    "without a result": [_annotation("x", result=[])],
}


@pytest.mark.parametrize("value", CHOSEN.values(), ids=CHOSEN)
def test_annotation_that_counts_is_read(value):
    found = Reading(format="prompt_completion").read({"prompt": "Why?", "completion": value})
    assert found.messages[-1]["content"] == "Right."
    assert any("others are not" in sentence for sentence in found.notes)


@pytest.mark.parametrize("value", LEFT_OUT.values(), ids=LEFT_OUT)
def test_row_without_an_annotation_that_counts_is_unusable(value):
    with pytest.raises(ValueError, match=r"annotations without|answers that are cancelled"):
        Reading(format="prompt_completion").parse({"prompt": "Why?", "completion": value})


def test_detect_label_studio_offers_the_field_and_the_annotation():
    values = [*([_annotation(text)] for text in PROSE[:3]), [CANCELLED]]
    rows = rows_of(annotations=values, data=[{"prompt": text} for text in QUESTIONS], predictions=values[::-1])
    found = detect(rows)
    assert "'data.prompt' may be the question" in found.evidence
    first = found.candidates[0].parse(rows[0])
    assert [message["content"] for message in first] == [QUESTIONS[0], PROSE[0]]
