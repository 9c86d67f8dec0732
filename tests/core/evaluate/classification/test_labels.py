"""Tests of core.evaluate.classification.labels."""

import pytest

from core.evaluate.classification.labels import find_labels, label_set, normalize

LABELS = label_set(["positive", "negative", "neutral"])
SPAM = label_set(["spam", "not spam"])
NUMBERS = label_set(["0", "1", "10"])
CHINESE = label_set(["正面", "负面"])
LANGUAGES = label_set(["C", "C#", "C++"])


@pytest.mark.parametrize(
    ("labels", "answer", "name"),
    [
        (LABELS, "positive", "positive"),
        (LABELS, " Positive.\n", "positive"),
        (LABELS, "**Negative**", "negative"),
        (LABELS, "Label: neutral", "neutral"),
        (LABELS, "The sentiment is Positive!", "positive"),
        (LABELS, "positive\nThe review is not negative at all.", "positive"),
        (LABELS, "I would call this review negative.", "negative"),
        (LABELS, "It is positive, not negative.", None),
        (LABELS, "nonpositive", None),
        (LABELS, "", None),
        (LABELS, "I do not know.", None),
        (SPAM, "not spam", "not spam"),
        (SPAM, "This message is NOT  spam.", "not spam"),
        (SPAM, "spam", "spam"),
        (NUMBERS, "1", "1"),
        (NUMBERS, "10", "10"),
        (NUMBERS, "The answer is 10.", "10"),
        (NUMBERS, "100", None),
        (CHINESE, "正面。", "正面"),
        (CHINESE, "“负面”", "负面"),
        (LANGUAGES, "C", "C"),
        (LANGUAGES, "`C#`.", "C#"),
        (LANGUAGES, "It is C++.", "C++"),
    ],
)
def test_parse_reads_the_label_that_an_answer_names(labels, answer, name):
    found = labels.parse(answer)
    assert (None if found is None else labels.names[found]) == name


@pytest.mark.parametrize(
    ("references", "names"),
    [
        (["yes", "no"] * 5, ["no", "yes"]),
        (["Yes", "yes ", "YES", "no", "No", "no", "yes"], ["no", "yes"]),
        (["a", "b"] * 10 + [""], ["a", "b"]),
        # Answers: long, in lines, or hardly ever repeated.
        (["a sentence that goes on " * 4, "yes"] * 5, None),
        (["one\ntwo", "yes"] * 5, None),
        ([f"name {n}" for n in range(50)], None),
        # One label, one row, no reference.
        (["yes"] * 10, None),
        (["yes"], None),
        ([], None),
        (["", " "] * 5, None),
    ],
)
def test_find_labels_tells_labels_from_answers(references, names):
    found = find_labels(references)
    assert (found and found.names) == names


def test_a_thousand_labels_are_read_and_more_are_not():
    assert len(find_labels([f"intent {n}" for n in range(1_000)] * 3).names) == 1_000
    assert find_labels([f"intent {n}" for n in range(1_001)] * 3) is None


def test_spellings_are_merged_and_reported():
    found = find_labels(["Sports ", "sports", "sports", "world", "World", "world"])
    assert found.names == ["sports", "world"]
    assert found.merged == {"sports": ["Sports"], "world": ["World"]}
    assert found.index_of(" SPORTS") == 0
    assert found.index_of("politics") is None


def test_normalize_keeps_letters_of_all_scripts():
    assert normalize(" «Größe» ") == "grösse"
    assert normalize("正面。") == "正面"
    assert normalize("50%") == "50%"
    assert normalize(":)") == ":)"
