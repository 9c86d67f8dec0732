"""Dates and times as they are spelled in exports: "01 10, 2016", "Jan 5, 2016", "5. März 2020", "Mon, 5 Jan 10:00"."""

import re

_MONTHS = frozenset(
    ("jan", "january", "januar", "feb", "february", "februar", "mar", "march", "mär", "märz", "apr", "april", "may",
     "mai", "jun", "june", "juni", "jul", "july", "juli", "aug", "august", "sep", "sept", "september", "oct",
     "october", "okt", "oktober", "nov", "november", "dec", "december", "dez", "dezember", "janvier", "février",
     "mars", "avril", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre", "enero", "febrero",
     "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre", "月")
)  # fmt: skip
_OTHER_WORDS = frozenset(
    ("mon", "monday", "tue", "tues", "tuesday", "wed", "wednesday", "thu", "thur", "thurs", "thursday", "fri",
     "friday", "sat", "saturday", "sun", "sunday", "am", "pm", "a", "p", "m", "utc", "gmt", "cet", "cest", "est",
     "edt", "pst", "pdt", "z", "t", "at", "of", "de", "st", "nd", "rd", "th", "年", "日")
)  # fmt: skip
_PART = re.compile(r"\d+|[年月日]|[^\W\d_年月日]+")
# Between two parts of a date; "3 - 4" and "3 + 4" may be questions.
_BETWEEN = re.compile(r"[,.]?\s*|[-/:+]|\s[-+]|[,.]?\s\(|\)")
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_TIME = re.compile(r"(?<!\d)\d{1,2}:\d\d(?!\d)")
_MAX_CHARACTERS = 60
# Numbers of a date without the name of its month: day, month and year.
_MIN_NUMBERS = 3


def is_date(text: str) -> bool:
    """Return whether a text is a date, a time or both, and nothing else."""
    text = text.strip().lower()
    if not text or len(text) > _MAX_CHARACTERS:
        return False
    parts = _PART.findall(text)
    numbers = [part for part in parts if part.isdigit()]
    words = {part for part in parts if not part.isdigit()}
    if not numbers or words - _MONTHS - _OTHER_WORDS:
        return False
    if not all(map(_BETWEEN.fullmatch, _PART.split(text))):
        return False
    has_year = any(map(_YEAR.fullmatch, numbers)) and len(numbers) >= _MIN_NUMBERS
    return bool(words & _MONTHS) or has_year or _TIME.search(text) is not None
