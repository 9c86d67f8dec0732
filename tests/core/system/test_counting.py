"""Numbers agree with their nouns."""

from core.system.counting import counted, noun_for, verb_for


def test_one_thing_is_singular_and_every_other_number_is_plural():
    assert [counted(number, "row") for number in (0, 1, 2, 2000)] == ["0 rows", "1 row", "2 rows", "2,000 rows"]
    assert [counted(number, "row is", "rows are") for number in (1, 3)] == ["1 row is", "3 rows are"]
    assert [noun_for(number, "row") for number in (0, 1, 2)] == ["rows", "row", "rows"]


def test_verb_agrees_with_the_number_that_is_the_subject():
    assert [verb_for(number) for number in (0, 1, 2)] == ["are", "is", "are"]
    assert [verb_for(number, "has", "have") for number in (1, 3)] == ["has", "have"]
