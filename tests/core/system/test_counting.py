"""Numbers agree with their nouns."""

from core.system.counting import counted, noun_for


def test_one_thing_is_singular_and_every_other_number_is_plural():
    assert [counted(number, "row") for number in (0, 1, 2, 2000)] == ["0 rows", "1 row", "2 rows", "2,000 rows"]
    assert [counted(number, "row is", "rows are") for number in (1, 3)] == ["1 row is", "3 rows are"]
    assert [noun_for(number, "row") for number in (0, 1, 2)] == ["rows", "row", "rows"]
