"""Letters that were decoded in another encoding are noted, and letters of languages are not."""

import pytest

from core.data.formats import Reading


def notes(text):
    parsed = Reading(format="prompt_completion").read({"prompt": "Why?", "completion": text})
    assert parsed.messages[1]["content"] == text
    return [note for note in parsed.notes if "another encoding" in note]


@pytest.mark.parametrize("codec", ["latin-1", "cp1252"])
@pytest.mark.parametrize("text", ["déjà vu", "It’s so", "Größe", "10 °C", "…and so on"])
def test_utf8_decoded_in_another_encoding_is_noted(text, codec):
    assert notes(text.encode().decode(codec, "replace"))


def test_cyrillic_decoded_in_another_encoding_is_noted():
    assert notes("привет".encode().decode("latin-1"))


@pytest.mark.parametrize(
    "text",
    ["déjà vu", "NÃO É «CAFÉ»", "Ânimo, â bon", "привет", "Größe 10 °C", "Đây là Ấn Độ", "Ñandú", "plain", "Ð is eth"],
)
def test_letters_of_a_language_are_not_noted(text):
    assert not notes(text)
