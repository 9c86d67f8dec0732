"""Detection of tables without a header: is the first line a row, or does it hold the names of the columns?

1. It is a row if it holds a number, or a value that its column holds again.
2. It is a row if most of its cells look like those below them: sentences, or codes and dates of the same shape. A cell
   that is a common column name is evidence against that.
3. It certainly holds names if one is such a name or an identifier such as `comment_text`, or if the cells below look
   otherwise: numbers below a word, long texts below short ones.
4. In all other cases it is read as names, and a note quotes it, since a row without a header may look so.
"""

import re
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from core.data.formats.columns import find_column, folded_name
from core.data.readers.header import KNOWN_NAMES, NUMBER
from core.data.readers.lines import MARK

# Question marks and ends of statements, in Western and East Asian scripts.
_ASKS, _STATES = "?？؟;", ".!…。！"
_CLOSING = "\"'”’»)]*_ "
_MAX_CODE = 40
_IDENTIFIER = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)+|[a-z]{2,}(?:[A-Z][a-z]+)+")
# An answer or a question by its number; a shorter word with a number may be a code such as ID-77.
# The quantifiers are possessive: both parts match underscores, so many of them would be divided in every possible way.
_NUMBERED = re.compile(r"([^\W\d]{4,}+)[\s_-]*+\d{1,2}")
# Values of a column of numbers that stand for a missing one.
_NO_NUMBERS = ("na", "nan", "nil", "none", "null", "unknown", "missing", "inf", "infinity")
# Names of columns in other languages than English, folded.
_FOREIGN_NAMES = (
    "frage", "antwort", "pregunta", "respuesta", "réponse", "pergunta", "resposta", "domanda", "risposta", "vraag",
    "antwoord", "вопрос", "ответ", "текст", "问题", "問題", "答案", "回答", "質問", "质问", "질문", "답변", "답",
    "提问", "指令", "soru", "cevap", "pytanie", "odpowiedź",
)  # fmt: skip
# Names of columns beside the texts.
_OTHER_NAMES = (
    "id", "idx", "index", "uuid", "title", "name", "date", "time", "timestamp", "created", "created_at", "updated_at",
    "url", "link", "lang", "language", "locale", "category", "categories", "tag", "tags", "author", "status", "score",
    "rating", "email", "version", "description", "comment", "comments", "notes", "length", "split", "quality",
)  # fmt: skip
_MIN_CELLS = 3
# A short name has at most _MAX_NAME_WORDS words. The texts below it have a median of at least _LONG characters, and
# each is at least _MIN_LONGER times as long as the name.
_MAX_NAME_WORDS, _MIN_LONGER, _LONG = 2, 3, 30


def is_row(record: list[str], sample: Iterable[list[str]]) -> bool:
    """Return whether the first record is a row, by the first two rules above.

    Args:
        record: The first record.
        sample: Some of the records below it.
    """
    if any(NUMBER.fullmatch(cell.strip()) for cell in record):
        return True
    rows = _below(record, sample)
    columns = zip(*rows, strict=True)
    if any(cell.strip() and values.count(cell) > 1 for cell, values in zip(record, columns, strict=False)):
        return True
    return not _has_known_name(record, numbered=False) and _looks_like_rows(record, rows)


def are_certain_names(record: list[str], sample: Iterable[list[str]]) -> bool:
    """Return whether the first record certainly holds names, by the third rule above.

    Args:
        record: The first record, which is no row by `is_row`.
        sample: Some of the records below it.
    """
    rows = _below(record, sample)
    if _has_known_name(record, numbered=True) or not rows:
        return True
    if any(_ends_like_sentence(cell) for cell in record):
        return False
    pairs = list(zip(record, zip(*rows, strict=True), strict=True))
    return any(_is_named(cell, _filled(values)) for cell, values in pairs) or _are_titles_of_texts(pairs)


def describe_first_line(record: list[str]) -> str:
    """Return the note that a line is read as names."""
    shown = ", ".join(cell.strip().strip(MARK) for cell in record)
    shown = repr(shown if len(shown) <= 60 else f"{shown[:60]}…")
    return f"line 1 ({shown}) is read as the names of the columns; if it is a row, write a line of names above it"


def _below(record: list[str], sample: Iterable[list[str]]) -> list[list[str]]:
    """Return the records as wide as the first one, without delimiters at their end."""
    # A record that repeats all of the first one is the header of a further section.
    width = len(record)
    return [row[:width] for row in sample if len(row) >= width and not any(row[width:]) and row != record]


def _filled(values: Iterable[Any]) -> list[str]:
    return [text for value in values if (text := str(value).strip().strip(MARK))]


def _has_known_name(record: Sequence[str], numbered: bool) -> bool:
    """Return whether a cell is a name that datasets use; single letters count only as Q beside A.

    Args:
        record: The cells.
        numbered: Whether "Question 1" counts as well, which is also the shape of a code.
    """
    cells = _filled(record)
    if {"q", "a"} <= {cell.lower() for cell in cells}:
        return True
    if numbered:
        cells += [found[1] for cell in cells if (found := _NUMBERED.fullmatch(cell))]
    cells = [cell for cell in cells if len(folded_name(cell)) > 1 or not cell.isascii()]
    return find_column(cells, (*KNOWN_NAMES, *_FOREIGN_NAMES, *_OTHER_NAMES)) is not None


def _looks_like_rows(record: list[str], rows: list[list[str]]) -> bool:
    """Return whether at least half of the cells of a record look like most of the cells below them."""
    if len(rows) < 2:
        return False
    # Names such as Q1, Q2 and Q3 differ in their numbers alone.
    if len(record) > 1 and len({re.sub(r"\d+", "", cell) for cell in record}) == 1:
        return False
    alike = filled = 0
    for cell, values in zip(record, zip(*rows, strict=True), strict=True):
        below = _filled(values)
        if not cell.strip() or not below:
            continue
        filled += 1
        alike += _is_sentence_of(cell, below) or _is_code_of(cell, below)
    return filled > 0 and 2 * alike >= filled


def _end(text: str) -> str:
    return text.rstrip(_CLOSING)[-1:]


def _ends_like_sentence(text: str) -> bool:
    """Return whether a text ends like a sentence."""
    return (end := _end(text)) != "" and end in _ASKS + _STATES


def _is_sentence_of(cell: str, below: list[str]) -> bool:
    """Return whether a cell is a sentence like most of those below; the question of a survey is not like answers."""
    if not _ends_like_sentence(cell) or 2 * sum(map(_ends_like_sentence, below)) <= len(below):
        return False
    return _end(cell) not in _ASKS or any(_end(text) in _ASKS for text in below)


def _is_code_of(cell: str, below: list[str]) -> bool:
    shape = _shape(cell.strip())
    return bool(shape) and 2 * sum(_shape(text) == shape for text in below) > len(below)


def _shape(text: str) -> str:
    """Return the shape of a code, a date or an address, such as "A-9" for "KX-77"; "" for other texts."""
    if len(text) > _MAX_CODE or len(text.split()) > 2 or not any(character.isdigit() for character in text):
        return ""
    return re.sub(r"[^\W\d_]+", "A", re.sub(r"\d+", "9", text))


def _is_named(cell: str, below: list[str]) -> bool:
    """Return whether a cell is an identifier above other texts, or a word above numbers."""
    if not (cell := cell.strip().strip(MARK)) or len(below) < 2:
        return False
    if _IDENTIFIER.fullmatch(cell):
        return 2 * sum(_IDENTIFIER.fullmatch(text) is not None for text in below) <= len(below)
    is_word = cell.isalpha() and cell.lower() not in _NO_NUMBERS
    return is_word and len(below) >= _MIN_CELLS and all(NUMBER.fullmatch(text) for text in below)


def _are_titles_of_texts(pairs: list[tuple[str, tuple[str, ...]]]) -> bool:
    """Return whether all columns of long texts have a short name above them, and there is one."""
    found = False
    for cell, values in pairs:
        below = _filled(values)
        if len(below) < _MIN_CELLS or median(map(len, below)) < _LONG:
            continue
        found = True
        if _count_words(cell) > _MAX_NAME_WORDS or min(map(len, below)) < _MIN_LONGER * max(1, len(cell.strip())):
            return False
    return found


def _count_words(text: str) -> float:
    """Return the number of words; in scripts without spaces, two characters count as one word."""
    return max(len(text.split()), sum(ord(character) > 0x2E80 for character in text) / 2)
