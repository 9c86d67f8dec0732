"""Doubts about parts of an example that a reading would pass over or train: calls of tools, quoted mails, gaps.

The names of survey questions are such a part, too: they stand in the header, and the cells answer them.
"""

import re
from collections.abc import Iterable

from core.data.formats.columns import name_words
from core.data.formats.proposal import Columns, Rows
from core.data.formats.values import is_missing, nested
from core.data.listing import list_some

# Words in the name of a column with calls of tools: for a tool, and for the part of its calls that the column holds.
_TOOL_WORDS = frozenset(("function", "functions", "tool", "tools", "api", "plugin"))
_CALL_WORDS = frozenset(
    ("call", "calls", "called", "name", "args", "arguments", "params", "parameters", "input", "inputs", "result",
     "results", "response", "responses", "output", "outputs", "invocation", "invocations", "used")
)  # fmt: skip
_ACTION_KEYS = frozenset(("action", "observation"))
# Words of a column of pictures, recordings or films, and the ends of their files.
_MEDIA_WORDS = frozenset(
    ("image", "images", "img", "picture", "pictures", "photo", "photos", "audio", "video", "videos", "media", "figure",
     "screenshot", "screenshots", "wav", "clip", "imgs", "pixel", "bild")
)  # fmt: skip
_MEDIUM = re.compile(
    r"\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg|wav|mp3|flac|ogg|m4a|mp4|webm|avi|mov|mkv)\b|\Adata:(?:image|audio|video)/",
    re.IGNORECASE,
)
# The gaps of a cloze card of Anki: {{c1::hidden words::hint}}.
_GAP = re.compile(r"\{\{c\d{1,2}::[^{}\n]{1,400}\}\}")
# The lines above the mail that another one answers.
_QUOTED = re.compile(
    r"^[ \t]{0,4}(?:-{2,20} ?(?:original message|forwarded message|ursprüngliche nachricht|message d'origine|"
    r"mensaje original)|(?:on|am|le|el) [^\n]{6,120} (?:wrote|schrieb[^\n]{0,60}|a écrit|escribió) ?:[ \t]*$|"
    r"(?:from|von|de): [^\n]{1,200}\n[ \t]{0,4}(?:sent|date|gesendet|to|enviado|envoyé): )",
    re.IGNORECASE | re.MULTILINE,
)
# Words of numbered columns of turns, and how many there are at least.
_TURN_WORDS = frozenset(("turn", "turns", "message", "msg", "utterance", "utt", "line", "speech", "dialog", "dialogue"))
_NUMBER = re.compile(r"([^\d]*)\d{1,3}([^\d]*)")
_MIN_TURNS = 3
_MIN_QUOTED = 0.2
_MIN_QUESTIONS = 2
_MIN_QUESTION_WORDS = 3
_QUESTION_MARKS = ("?", "？", "؟")
_KINDS = ("prose", "short", "category", "number", "nested")
_SHOWN = 2


def call_doubt(rows: Rows, found: Columns, taken: Iterable[str]) -> str:
    """Return the doubt that columns hold the calls of tools between a question and its answer; "" where none do."""
    used = set(taken)
    free = [name for name, column in found.items() if name not in used and column.kind != "empty"]
    calls = [name for name in free if _is_call(name) or any(_holds_actions(row.get(name)) for row in rows)]
    if not calls:
        return ""
    shown = list_some(map(repr, calls), _SHOWN)
    return (
        f"{shown} may hold calls of tools and their results, without which the answers could not be known; write them "
        "as turns between question and answer, or leave such rows out"
    )


def _holds_actions(value: object) -> bool:
    """Return whether a value is a list of the actions of an agent with what it saw."""
    steps = nested(value)
    return isinstance(steps, list) and any(isinstance(step, dict) and step.keys() >= _ACTION_KEYS for step in steps)


def _is_call(name: str) -> bool:
    words = name_words(name)
    return bool(_TOOL_WORDS & set(words)) and bool(_CALL_WORDS & set(words))


def media_doubt(rows: Rows, found: Columns, taken: Iterable[str]) -> str:
    """Return the doubt that the rows are about pictures or recordings in an unused column; "" if not."""
    used = set(taken)
    for name in found:
        if name in used or not _MEDIA_WORDS & set(name_words(name)):
            continue
        values = [row[name] for row in rows if not is_missing(row.get(name))]
        if values and 2 * sum(map(_is_medium, values)) > len(values):
            return (
                f"the rows may be about what is in {name!r}, such as pictures, which a model of texts does not get; "
                "leave rows out that cannot be answered without it"
            )
    return ""


def _is_medium(value: object) -> bool:
    """Return whether a value is a file of a picture, a sound or a film, as a path or as an object with its bytes."""
    if isinstance(value, list):
        return bool(value) and all(map(_is_medium, value))
    if isinstance(value, dict):
        return bool({"bytes", "path", "url"} & value.keys())
    return _MEDIUM.search(str(value)) is not None


def gap_doubt(rows: Rows, taken: Iterable[str]) -> str:
    """Return the doubt that a used column holds the gaps of cloze cards with their hidden words; "" if not."""
    for name in taken:
        texts = _texts(rows, name)
        if 2 * sum(_GAP.search(text) is not None for text in texts) > len(texts):
            shown = next(found[0] for text in texts if (found := _GAP.search(text)))
            return (
                f"{name!r} holds gaps such as {shown!r}, as a cloze card does; write the text with the gaps empty as "
                "the question, and the hidden words as the answer"
            )
    return ""


def quoted_doubt(rows: Rows, answer: str) -> str:
    """Return the doubt that answers repeat the mail that they answer; "" where few or none do."""
    texts = _texts(rows, answer)
    count = sum(_QUOTED.search(text) is not None for text in texts)
    if not count or count < _MIN_QUOTED * len(texts):
        return ""
    return (
        f"{answer!r} repeats the mail that it answers below a line such as 'Original Message' ({count} of "
        f"{len(texts)} of the first rows), and would be trained to; cut it off"
    )


def survey_doubt(found: Columns) -> str:
    """Return the doubt that the names of columns are questions, which their cells answer; "" where none are."""
    asked = [name for name, column in found.items() if column.kind in _KINDS and _is_question(name)]
    if len(asked) < _MIN_QUESTIONS:
        return ""
    return (
        f"the names of {len(asked)} columns are questions, such as {asked[0]!r}, which their cells answer; write each "
        "answer as a row of its own"
    )


def numbered_turns_doubt(found: Columns) -> str:
    """Return the doubt that numbered columns, such as turn1_text, are the turns of a conversation; "" if not."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, column in found.items():
        parts = _NUMBER.fullmatch(name)
        if parts and column.kind in ("prose", "short") and _TURN_WORDS & set(name_words(f"{parts[1]} {parts[2]}")):
            groups.setdefault((parts[1], parts[2]), []).append(name)
    several = next((names for names in groups.values() if len(names) >= _MIN_TURNS), None)
    if several is None:
        return ""
    return (
        f"{several[0]!r}, {several[1]!r} and those that follow may be the turns of one conversation; write them as one "
        "list of objects with role and content"
    )


def _is_question(name: str) -> bool:
    return name.rstrip(" *)").endswith(_QUESTION_MARKS) and (
        len(name.split()) >= _MIN_QUESTION_WORDS or any(ord(c) > 0x2E80 for c in name)
    )


def _texts(rows: Rows, name: str) -> list[str]:
    return [row[name] for row in rows if isinstance(row.get(name), str) and not is_missing(row[name])]
