r"""Texts that were escaped or encoded once too often before the studio: `\n`, `\u00e9`, `&#39;`, `%20`, base64.

They are noted and not decoded, since code, formulas (`\nu`), paths and web pages hold such characters on purpose.
"""

import re
from collections.abc import Sequence

from core.data.formats.conversation import Message
from core.data.formats.values import Note

# Behind `\n`, a formula or a path has a small letter, and code the end of its text.
_LINE_END = re.compile(r"(?<!\\)\\n(?=\\n|[ \t]*(?:[A-Z0-9#*•>]|-[ \w]|[^\W\x00-\x7f]))")
_LETTER = re.compile(r"(?<!\\)\\u[0-9a-fA-F]{4}")
# Characters that no text without markup has to spell in this way; code of web pages does.
_ENTITY = re.compile(r"&(?:amp;)?(?:quot|apos|nbsp|#0?39|#x27|#34|#8217|rsquo|ldquo|rdquo|hellip);")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_PERCENT = re.compile(r"%(?:20|[C-F][0-9A-F]%[89AB][0-9A-F])")
_MIN_PERCENTS = 2
# Base64, or a hash; a word of a language is shorter.
_CODED = re.compile(r"(?=[^\s]*[A-Z0-9+/])[A-Za-z0-9+/_-]{40,}={0,2}")
_MEANT = "{}; it is trained as it is, so {} if that is not meant"


def note_escapes(messages: Sequence[Message], note: Note) -> None:
    """Note texts that look escaped or encoded once too often.

    Args:
        messages: The conversation.
        note: Callback for a sentence about each kind.
    """
    texts = [one["content"] for one in messages]
    for is_found, words, step in (
        # A text with line ends of its own, such as code, has the others on purpose.
        (_has_line_end, r"a text holds \n as two characters where a line may end", "write line ends into the file"),
        (_LETTER.search, r"a text holds letters such as \u00e9 as six characters", "decode the file once more"),
        (_has_entity, "a text holds signs such as &#39; or &quot; as a web page spells them", "unescape the file"),
        (_is_percent_encoded, "a text holds %20 in place of spaces, as an address of the web", "decode the file"),
        (_is_coded, "a text is one long word, such as base64 or a hash", "decode the file, or choose another column"),
    ):
        if any(map(is_found, texts)):
            note(_MEANT.format(words, step))


def _has_line_end(text: str) -> bool:
    return "\\n" in text and "\n" not in text.strip() and _LINE_END.search(text) is not None


def _has_entity(text: str) -> bool:
    """Return whether a text without tags holds a character as an entity."""
    return "&" in text and _ENTITY.search(text) is not None and _TAG.search(text) is None


def _is_percent_encoded(text: str) -> bool:
    """Return whether a text without spaces holds several encoded ones."""
    return "%" in text and " " not in text.strip() and len(_PERCENT.findall(text)) >= _MIN_PERCENTS


def _is_coded(text: str) -> bool:
    return _CODED.fullmatch(text.strip()) is not None
