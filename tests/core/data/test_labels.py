"""Texts, labels and classes of a subset, and the sentences for labels that no classifier can be trained on."""

from collections import Counter

import pytest

from core.data import labels, sources, subset
from core.data.formats import Reading
from core.data.labels import Classes, Frame, LabeledText
from core.data.recipe import Recipe
from core.data.table import HELD_OUT, TRAIN
from core.errors import StudioError


def row(text, label, number=0, **answer):
    return number, [{"role": "user", "content": text}, {"role": "assistant", "content": label, **answer}]


def texts(*found):
    return [LabeledText(number, "text", label) for number, label in enumerate(found)]


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Good.\n\nWhat is the mood?", "Good."),
        ("Good.\n\nWhat is the MOOD?", "Good."),
        (" A question that was typed. ", "A question that was typed."),
        ("What is the mood?", "What is the mood?"),
        ("\n\nWhat is the mood?", ""),
    ],
)
def test_frame_is_removed_where_it_is(question, text):
    assert Frame(suffix="\n\nWhat is the mood?").text_of(question) == text


def test_rows_without_label_are_counted_by_reason():
    user = {"role": "user", "content": "Hi"}
    rows = [
        (0, [{"role": "system", "content": "Be brief."}, *row("a", "x")[1]]),
        (1, [user]),
        (2, [{"role": "text", "content": "plain"}]),
        (3, [*row("a", "x")[1], *row("b", "y")[1]]),
        row("a", "  ", 4),
        row("  ", "x", 5),
        row("a", "x", 6, loss=False),
        (7, []),
    ]
    found = labels.read_labels(rows, Frame())
    assert found.rows == [LabeledText(0, "a", "x")]
    assert sum(found.left_out.values()) == 7
    assert found.left_out["the row has no label"] == 3
    assert len(found.left_out) == 5


@pytest.mark.parametrize("order", [1, -1])
def test_similar_labels_are_merged_into_most_frequent_spelling(order):
    rows = texts("good", "Good", "good ", "good", "bad", "BAD")[::order]
    found = labels.collect(rows, merge=True)
    assert (found.classes.names, found.counts) == (["BAD", "good"], [2, 4])
    assert [found.classes.class_of(label) for label in ("bad", " GOOD", "other")] == [0, 1, None]
    assert found.merged == {"bad": "BAD", "Good": "good", "good ": "good"}
    assert "Labels that differ only in case or spaces are one label" in labels.describe(found)[1]


def test_similar_labels_are_kept_apart_and_reported():
    found = labels.collect(texts("good", "Good", "bad"), merge=False)
    assert found.classes.names == ["bad", "Good", "good"]
    assert found.classes.class_of("GOOD") is None
    assert found.similar == ["Good", "good"]
    assert "are kept apart: 'Good', 'good'" in labels.describe(found)[1]


def test_numbers_are_sorted_by_value():
    assert labels.collect(texts("10", "9", "nan", "-1"), True).classes.names == ["-1", "9", "10", "nan"]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "No row of 'mine' has a label (3 × the row has no label)"),
        (["a", "a"], "the label 'a', and a classifier needs at least two"),
        ([str(number) for number in range(1001)] * 2, "1,001 different labels, and a classifier takes at most 1,000"),
        (["a text", "another", "a third"], "No label of 'mine' occurs twice"),
    ],
)
def test_unusable_labels_are_refused(found, sentence):
    with pytest.raises(StudioError) as raised:
        labels.require(labels.collect(texts(*found), True), Counter({"the row has no label": 3}), "mine")
    assert sentence in str(raised.value)


def test_subset_of_labeled_text_gives_texts_without_question(settings, tmp_path):
    path = tmp_path / "mood.csv"
    path.write_text("Text,Label\n" + "".join(f'"A day, number {n}, of words",{n % 2}\n' for n in range(40)))
    data = sources.open_file(settings, path)
    assert data.detected.format == "label"
    reading = Reading(**(data.detected.model_dump() | {"labels": {"1": "good", "0": "bad"}}))
    made = subset.create(settings, "mood", Recipe(dataset=data.id, reading=reading, held_out_share=0.25))
    rows = subset.load(settings, "mood")
    found = labels.read_labels(rows[TRAIN], labels.frame_of(settings, made))
    assert not found.left_out
    assert {one.text for one in found.rows} <= {f"A day, number {n}, of words" for n in range(40)}
    assert {one.label for one in found.rows} == {"good", "bad"}
    assert Classes(names=["bad", "good"]).class_of(rows[HELD_OUT][0][1][-1]["content"]) in (0, 1)
