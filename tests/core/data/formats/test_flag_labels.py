"""Several columns of 0 and 1 beside a text are asked about, and read as the labels that apply to it."""

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.detect import detect
from core.data.formats.flag_labels import FLAG_PROMPT
from tests.helpers.datasets import dialog
from tests.helpers.question_rows import PROSE, rows_of

TEXTS = [f"{text} " * 3 for text in PROSE]
FLAGS = {
    "numbers": (rows_of(comment_text=TEXTS, toxic=[1, 0, 0, 1], threat=[0, 0, 1, 1]), "toxic"),
    "texts": (rows_of(text=TEXTS, toxic=["1", "0", "0", "1"], threat=["0", "0", "1", "1"]), "toxic"),
    "booleans": (rows_of(text=TEXTS, toxic=[True, False] * 2, threat=[False] * 4), "toxic"),
    "ids beside them": (rows_of(id=list("abcd"), body=TEXTS, rude=[1.0, 0.0] * 2, loud=[0.0, 0.0, 1.0, 1.0]), "rude"),
}


@pytest.mark.parametrize(("rows", "answer"), FLAGS.values(), ids=FLAGS)
def test_detect_several_flags_beside_a_text_offers_names_then_plain_text(rows, answer):
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert "each 1 or 0" in found.evidence
    read = found.candidates[0].read(rows[0])
    assert read.messages[1]["content"] == answer
    assert "Which of these apply" in read.messages[0]["content"]
    assert read.unread in ([], ["id"])
    assert "text" in [reading.format for reading in found.candidates]


@pytest.mark.parametrize(
    "more", [{"toxic": [0, 1, 0, 1]}, {"score": [0, 1, 2, 1], "rank": [1, 0, 3, 1]}, {"words": [7, 1, 0, 4]}]
)
def test_detect_one_flag_or_other_numbers_are_no_labels(more):
    assert detect(rows_of(text=TEXTS, **more)).reading.format == "text"


@pytest.mark.parametrize(
    ("row", "options", "answer"),
    [
        ({"toxic": 1, "threat": "1"}, {}, "toxic, threat"),
        ({"toxic": 0, "threat": False}, {}, "none"),
        ({"toxic": 0, "threat": "true"}, {"labels": {"threat": "Drohung"}}, "Drohung"),
        ({"toxic": 0, "threat": 0}, {"labels": {"none": "nothing"}}, "nothing"),
        ({"toxic": -1, "threat": 1}, {}, "the label 'toxic' is '-1'; expected 0 or 1"),
        ({"toxic": None, "threat": 1}, {}, "the label 'toxic' is 'None'; expected 0 or 1"),
    ],
)
def test_answer_names_the_labels_that_apply(row, options, answer):
    extra = {"toxic": "label", "threat": "label"}
    reading = Reading(format="label", extra=extra, prompt=FLAG_PROMPT, **options)
    if "expected" in answer:
        with pytest.raises(UnusableRow, match=answer):
            reading.parse({"text": "Go away.", **row})
        return
    assert reading.parse({"text": "Go away.", **row}) == dialog(
        "Go away.\n\nWhich of these apply: toxic, threat?", answer
    )


def test_label_of_another_format_is_reported_as_unused():
    row = {"text": "Go away.", "toxic": 1}
    assert Reading(format="text", extra={"toxic": "label"}).read(row).unread == ["toxic"]
