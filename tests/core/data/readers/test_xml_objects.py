"""Elements of an XML file that was converted to JSON are read as their texts."""

import pytest

from core.data.readers.xml_objects import plain_row

CASES = {
    "xmltodict": ({"q": {"@lang": "en", "#text": "Why?"}}, {"q": "Why?"}, "'@lang'"),
    "Moodle": (
        {"@type": "essay", "q": {"@format": "html", "text": "Why?"}},
        {"@type": "essay", "q": "Why?"},
        "'@format'",
    ),
    "in a list": ({"a": [{"@right": "1", "p": {"#text": "So."}}]}, {"a": [{"@right": "1", "p": "So."}]}, ""),
}


@pytest.mark.parametrize("name", CASES)
def test_element_is_read_as_its_text(name):
    row, expected, lost = CASES[name]
    plain, note = plain_row(row)
    assert plain == expected
    assert lost in note


@pytest.mark.parametrize(
    "row",
    [
        {"q": {"text": "Why?"}},
        {"q": "Why?"},
        {"@type": "a", "q": {"text": "x", "n": 1}},
        {"messages": [{"role": "user", "content": "@ann"}]},
    ],
)
def test_other_objects_stay(row):
    assert plain_row(row) is None
