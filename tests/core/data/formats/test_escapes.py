r"""Texts that were escaped or encoded once too often are noted; backslashes and entities of code are not."""

import base64
import hashlib
import html
import json
import time
from urllib.parse import quote

import pytest

from core.data.formats import Reading


def notes(text):
    parsed = Reading(format="prompt_completion").read({"prompt": "Why?", "completion": text})
    assert parsed.messages[1]["content"] == text
    return [note for note in parsed.notes if "it is trained as it is" in note]


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


@pytest.mark.parametrize("text", ["It's so.", 'He said "no".'])
@pytest.mark.parametrize("times", [1, 2])
def test_entities_of_html_are_noted(text, times):
    escaped = text
    for _ in range(times):
        escaped = html.escape(escaped)
    assert notes(escaped)
    assert not notes(text)


@pytest.mark.parametrize("text", ["Why does the tide rise so late?", "déjà vu, mon ami", "潮の満ち引き"])
def test_encoded_texts_are_noted(text):
    long = f"{text} {text} {text}"
    for encoded in (quote(long), base64.b64encode(long.encode()).decode(), hashlib.sha256(long.encode()).hexdigest()):
        assert len(notes(encoded)) == 1
    assert not notes(long)


@pytest.mark.parametrize(
    "text",
    [
        r"The letters \nu and \neq and \nabla.", r"C:\new\names", r'Call print("x\n").', "```\nprint('A\\nB')\n```",
        r"Use \\N for NULL.", r"sed 's/a/\n/'", r"\\u00e9 in a source", r"\underline{x}",
        "<p>It&#39;s &quot;so&quot;</p>", "Tom & Jerry; R&D", "a && b", "&lt; stands for <", "100%20", "50% of 20",
        "See https://example.org/a%20b%20c for more", "https://example.org/a%20b", "Donaudampfschifffahrtsgesellschaft",
        "pneumonoultramicroscopicsilicovolcanoconiosis", "日本" * 40, "ha" * 10,
    ],
)  # fmt: skip
def test_marks_on_purpose_are_not_noted(text):
    assert not notes(text)


@pytest.mark.parametrize("part", ["\\n", "\\u00e", "&amp;", "<a ", "%2", "A", "&#0", "\\n ", "%C3%"])
def test_search_takes_linear_time(part):
    began = time.process_time()
    notes(part * (200_000 // len(part)))
    assert time.process_time() - began < 2
