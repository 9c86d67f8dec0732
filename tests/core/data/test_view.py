"""Views of the rows: their description, and toggled filters."""

import pytest
from pydantic import ValidationError

from core.data.view import Filter, View, quote_name

RANGE = Filter(column="turns", low=2, high=4)


def test_view_describe_names_search_and_filters():
    view = View(search="tide", filters=[RANGE, Filter(column="answer", low=10, by_length=True),
                                        Filter(column="language", values=["en", None])])  # fmt: skip
    assert view.describe() == (
        "with 'tide' in them, turns from 2 to below 4, length of answer at least 10, language is 'en' or empty"
    )
    assert View().describe() == View(sort="row").describe() == ""
    assert Filter(column="a_b", high=3, closed=True).describe() == "a b at most 3"


def test_filter_without_condition_is_rejected():
    with pytest.raises(ValidationError, match="the filter on 'tokens' has no condition: give it a limit or values"):
        Filter(column="tokens")
    assert Filter(column="tokens", values=[]).values == []


def test_view_toggle_replaces_or_removes_filter():
    view = View().toggle(RANGE)
    assert view.filters == [RANGE]
    other = Filter(column="turns", low=4)
    assert view.toggle(other).filters == [other]
    assert view.toggle(RANGE).filters == []


def test_view_with_unknown_fields_is_rejected():
    with pytest.raises(ValidationError, match="limit\n  Extra inputs are not permitted"):
        View(limit=3)


def test_quote_name_escapes_quotes():
    assert quote_name('a"; DROP TABLE x; --') == '"a""; DROP TABLE x; --"'
