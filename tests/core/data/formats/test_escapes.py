r"""Line ends and letters that were escaped twice are noted; backslashes of code, formulas and paths are not."""

import json

import pytest

from core.data.formats import Reading


def notes(text):
    parsed = Reading(format="prompt_completion").read({"prompt": "Why?", "completion": text})
    assert parsed.messages[1]["content"] == text
    return [note for note in parsed.notes if "characters" in note]


@pytest.mark.parametrize(
    "text",
    ["First.\nSecond.", "Reasons:\n- one\n- two", "A\n\nb", "Steps:\n1. go", "Ja.\nÜber uns", "# Title\n## Next"],
)
def test_line_ends_escaped_twice_are_noted(text):
    assert notes(json.dumps(text)[1:-1].replace("\\u00dc", "Ü"))
    assert not notes(text)


@pytest.mark.parametrize("text", ["café", "naïve – yes", "日本"])
def test_letters_escaped_twice_are_noted(text):
    assert notes(json.dumps(text)[1:-1])
    assert not notes(text)


@pytest.mark.parametrize(
    "text",
    [
        r"The letters \nu and \neq and \nabla.", r"C:\new\names", r'Call print("x\n").', "```\nprint('A\\nB')\n```",
        r"Use \\N for NULL.", r"sed 's/a/\n/'", r"\\u00e9 in a source", r"\underline{x}",
    ],
)  # fmt: skip
def test_backslashes_on_purpose_are_not_noted(text):
    assert not notes(text)
