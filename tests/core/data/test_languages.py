"""Tests of core.data.languages."""

import pytest

from core.data.languages import language_detector


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The weather is fine today,\nand we walk through the park.", "en"),
        ("Das Wetter ist heute schön, und wir gehen durch den Park.", "de"),
        ("今日は天気がいいので、公園を散歩します。", "ja"),
        ("", None),
        ("  \n ", None),
        ("17 4 2 99", None),
    ],
)
def test_language_detector_knows_languages_and_admits_what_is_unclear(text, code):
    assert language_detector()(text) == code
