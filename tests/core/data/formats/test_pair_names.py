"""Names of two columns that say how their texts belong together: translations, better texts, passages of a search."""

import pytest

from core.data.formats import Reading
from core.data.formats.detect import detect

ASKED = [f"How do I cancel the order number {i}?" for i in range(6)]
OTHER = [f"Wie storniere ich die Bestellung Nummer {i}?" for i in range(6)]
WRONG = [f"The nearest branch is in the street number {i}." for i in range(6)]


def rows_of(**columns):
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def pairs(found):
    """Return the question and the answer of the first row under each reading with answers."""
    readings = [one for one in found.candidates if one.format == "prompt_completion"]
    return [(one.columns.get("prompt", "query"), one.columns.get("completion", "")) for one in readings]


@pytest.mark.parametrize(
    ("first", "second"),
    [("en", "de"), ("English", "German"), ("sentence_eng_Latn", "sentence_deu_Latn"), ("en_US", "de_DE"),
     ("text_en", "text_de"), ("source_text", "target_text"), ("original", "translation"), ("Deutsch", "English")],
)  # fmt: skip
def test_translations_ask_and_are_offered_in_both_directions_first(first, second):
    found = detect(rows_of(**{first: ASKED, second: OTHER}))
    assert found.reading.format == "undecided"
    assert "translations of each other" in found.evidence
    offered = [one.columns for one in found.candidates[:2]]
    assert offered == [{"prompt": first, "completion": second}, {"prompt": second, "completion": first}]


@pytest.mark.parametrize("names", [("source", "target"), ("src", "tgt")])
def test_certain_direction_of_a_translation_is_read_and_the_other_is_offered(names):
    found = detect(rows_of(**dict(zip(names, (ASKED, OTHER), strict=True))))
    assert found.reading.columns == dict(zip(("prompt", "completion"), names, strict=True))
    assert Reading(format="prompt_completion", columns={"prompt": names[1], "completion": names[0]}) in found.candidates


@pytest.mark.parametrize(
    ("worse", "better"),
    [("incorrect", "correct"), ("en_toxic_comment", "en_neutral_comment"), ("informal", "formal"),
     ("buggy_code", "fixed_code"), ("original_text", "corrected_text"), ("Normal", "Simple")],
)  # fmt: skip
def test_text_and_its_better_version_are_offered_in_that_direction_first(worse, better):
    for row in (rows_of(**{worse: ASKED, better: OTHER}), rows_of(**{better: OTHER, worse: ASKED})):
        found = detect(row)
        assert found.reading.format == "undecided"
        assert found.candidates[0].columns == {"prompt": worse, "completion": better}


SEARCH = {
    "triplets": rows_of(query=ASKED, positive=OTHER, negative=WRONG),
    "anchors": rows_of(anchor=ASKED, positive=OTHER, negative=WRONG),
    "lists": rows_of(query=ASKED, pos=[[text] for text in OTHER], neg=[[text, "No."] for text in WRONG]),
    "hard negatives": rows_of(question=ASKED, positive=OTHER, hard_negatives=[[text, "No."] for text in WRONG]),
}


@pytest.mark.parametrize("rows", SEARCH.values(), ids=SEARCH)
def test_negatives_of_a_search_are_never_answers_or_texts(rows):
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    assert [one["content"] for one in found.candidates[0].parse(rows[0])] == [ASKED[0], OTHER[0]]
    taken = {name for one in found.candidates for name in one.columns.values()}
    assert not taken & {"negative", "neg", "hard_negatives"}


def test_wrong_answers_beside_a_question_are_never_offered():
    found = detect(rows_of(question=ASKED, incorrect=WRONG))
    assert all("incorrect" not in one.columns.values() for one in found.candidates)


def test_names_that_are_no_languages_stay_as_they_are():
    found = detect(rows_of(harbour=ASKED, ship=OTHER))
    assert "translations" not in found.evidence
    assert found.candidates[0].format == "text"


@pytest.mark.parametrize("mark", ["?", "？", "؟"])
def test_questions_beside_one_other_text_are_offered_with_it_first(mark):
    titles = [f"{text[:-1]}{mark}" for text in ASKED]
    found = detect(rows_of(ID=range(6), Content=WRONG, Title=titles, Status=["publish"] * 6))
    assert found.reading.format == "undecided"
    assert "The texts in 'Title' are questions, which 'Content' may answer" in found.evidence
    assert found.candidates[0].columns == {"prompt": "Title", "completion": "Content"}
