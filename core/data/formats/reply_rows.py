"""Recognition of messages and posts, one per row, in which a column names the row that each one answers."""

import re
from typing import Any

from core.data.formats.columns import name_words
from core.data.formats.proposal import Columns, Rows
from core.data.formats.values import is_missing

# Words of a column that names another row, and of one that does so whatever its values are.
_REPLY_WORDS = frozenset(("parent", "parentid", "reply", "replied", "replying", "response", "responding"))
_SURE_NAME = re.compile(
    r"in_?(?:reply|response)_?to|repl(?:y|ied)_?to|parent_?(?:comment|message|post|tweet)", re.IGNORECASE
)
_ID_WORDS = frozenset(("id", "ids", "key", "name", "number", "no", "uuid", "guid", "idx", "index"))
_ID_KINDS = ("id", "number", "category", "short")
_MIN_REPLIES = 2
# Reddit writes the kind of a thing in front of its id: t1_abc answers the comment abc.
_KIND = re.compile(r"t\d_(?=\w)")


def reply_doubt(rows: Rows, found: Columns) -> str:
    """Return the doubt that each row is one message that answers another row; "" where none does.

    Args:
        rows: The rows.
        found: Properties of the columns by name.
    """
    for name, column in found.items():
        words = set(name_words(name))
        if column.kind not in _ID_KINDS or not (_REPLY_WORDS & words or _SURE_NAME.search(name)):
            continue
        replies = {value for row in rows if (value := _id(row.get(name)))}
        if len(replies) < _MIN_REPLIES:
            continue
        other = next((other for other in found if other != name and _names(rows, found, other, replies)), "")
        is_sure = _SURE_NAME.search(name) and all(" " not in value for value in replies)
        if other or is_sure:
            target = f"the {other!r} of another row" if other else "another message"
            return (
                f"each row is one message, and {name!r} names {target}, its question or its reply; put all messages of "
                "a conversation, in order, into one row as a list of objects with role and content"
            )
    return ""


def _names(rows: Rows, found: Columns, name: str, replies: set[str]) -> bool:
    """Return whether a column holds the ids of the rows, and most of the replies are among them."""
    if not _ID_WORDS & set(name_words(name)) or found[name].kind == "nested":
        return False
    ids = [value for row in rows if (value := _id(row.get(name)))]
    return len(set(ids)) == len(ids) and 2 * len(replies & set(ids)) > len(replies)


def _id(value: Any) -> str:
    """Return an id as it is compared; "" for a missing one. Pandas writes whole numbers beside gaps as 3.0."""
    return (
        ""
        if is_missing(value) or isinstance(value, (list, dict))
        else _KIND.sub("", str(value).strip().removesuffix(".0"))
    )
