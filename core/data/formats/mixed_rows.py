"""Files whose rows have different columns, as when datasets of several formats are put into one file of JSON lines."""

from collections import Counter
from itertools import combinations

from core.data.formats.proposal import Rows
from core.data.listing import list_some
from core.system.counting import counted

_MIN_ROWS = 2
_SHOWN = 4


def mixed_doubt(rows: Rows) -> str:
    """Return the doubt that rows of several formats are mixed; "" where all columns may belong to one.

    Two kinds of rows are of different formats if they have no column in common but those that all rows have.
    """
    common = set.intersection(*(set(row) for row in rows)) if rows else set()
    counts = Counter(tuple(name for name in row if name not in common) for row in rows)
    kinds = [(names, count) for names, count in counts.most_common() if names and count >= _MIN_ROWS]
    if not any(not set(one) & set(other) for (one, _), (other, _) in combinations(kinds, 2)):
        return ""
    shown = [f"{count} with {list_some(map(repr, names), _SHOWN)}" for names, count in kinds[:_SHOWN]]
    more = f"; {counted(len(kinds) - _SHOWN, 'more kind')}" if len(kinds) > _SHOWN else ""
    return (
        f"the rows have different columns ({'; '.join(shown)}{more}), and one reading fits only one kind; write the "
        "rows of each kind into a file of its own, or all of them as lists of turns in one column"
    )
