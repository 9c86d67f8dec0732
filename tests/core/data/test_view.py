import pytest
from pydantic import ValidationError

from core.data.view import Filter, View, quote_name

RANGE = Filter(column="turns", low=2, high=4)


def test_a_view_is_said_in_words():
    view = View(search="tide", filters=[RANGE, Filter(column="answer", low=10, by_length=True),
                                        Filter(column="language", values=["en", None])])  # fmt: skip
    assert view.describe() == (
        "with 'tide' in them, turns from 2 to below 4, length of answer at least 10, language is 'en' or empty"
    )
    assert View().describe() == View(sort="row").describe() == ""
    assert Filter(column="a_b", high=3, closed=True).describe() == "a b at most 3"


def test_a_filter_takes_the_place_of_another_on_its_column_and_goes_when_chosen_again():
    view = View().toggle(RANGE)
    assert view.filters == [RANGE]
    other = Filter(column="turns", low=4)
    assert view.toggle(other).filters == [other]
    assert view.toggle(RANGE).filters == []


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError):
        View(limit=3)


def test_a_name_is_quoted_whatever_it_holds():
    assert quote_name('a"; DROP TABLE x; --') == '"a""; DROP TABLE x; --"'
