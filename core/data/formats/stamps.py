"""The date and the author that a tracker writes before the text of a comment, as Jira and ServiceNow export them.

"05/Mar/24 9:30 AM;lena.k;Restart it." would teach a model to begin its answers with a date and a name.
"""

import re
from collections.abc import Sequence

_DAY = r"(?:\d{4}-\d\d-\d\d|\d{1,2}[/.-](?:\d{1,2}|[A-Z][a-z]{2})[/.-]\d{2,4})"
_TIME = r"\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?(?: ?[AaPp][Mm])?(?:Z| ?[+-]\d\d:?\d\d)?"
_AUTHOR = r"[^\n;:\[\]]{1,60}"
# Jira: date;author;text. ServiceNow: date - author (Work notes) above the text. Chats: [date] author: text.
_STAMP = (
    rf"(?:{_DAY}[T ,]{{1,2}}{_TIME};{_AUTHOR};|{_DAY} {_TIME} - {_AUTHOR}\([^\n()]{{1,40}}\)[ \t]*\n|"
    rf"\[{_DAY}[T ,]{{1,2}}{_TIME}\] ?{_AUTHOR}:)"
)
_AT_BEGIN, _AT_LINE = re.compile(rf"\s*{_STAMP}\s*"), re.compile(rf"^{_STAMP}", re.MULTILINE)
# As for every repeated mark, at least this many texts, and more than half of them, must begin with a stamp.
_MIN_TEXTS = 3


def are_stamped(texts: Sequence[str]) -> bool:
    """Return whether most texts begin with a date and an author."""
    count = sum(_AT_BEGIN.match(text) is not None for text in texts)
    return count >= _MIN_TEXTS and 2 * count > len(texts)


def without_stamp(text: str) -> str:
    """Return a text without the date and the author before it; one of several comments, or of none, is unchanged."""
    found = _AT_BEGIN.match(text)
    return text if found is None or has_more_stamps(text) else text[found.end() :]


def has_more_stamps(text: str) -> bool:
    """Return whether a text holds several comments, each below its date and author."""
    return len(_AT_LINE.findall(text)) > 1
