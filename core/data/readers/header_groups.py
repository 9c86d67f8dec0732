"""Recognition of a header of two lines: groups of columns, as merged cells of a spreadsheet, above their names.

A merged cell is written once and leaves the cells beside it empty; pandas repeats it (MultiIndex).
"""

from core.data.readers.header import NUMBER, are_column_names, has_known_name

_MIN_GROUPS = 2
# Columns that a header leaves without a name, which merged cells do.
_MIN_UNNAMED = 2
_SHOWN_CHARACTERS = 60


def names_below_groups(groups: list[str], names: list[str], rows: list[list[str]]) -> list[str] | None:
    """Return the names of the columns if two lines are a header together, or None.

    A name that occurs in several groups has its group before it: "Prompt en", "Answer en".

    Args:
        groups: The first line of the header.
        names: The line below it.
        rows: Some of the lines below both.
    """
    groups, names = [cell.strip() for cell in groups], [cell.strip() for cell in names]
    full = _filled_right(groups)
    if not rows or len(full) != len(names) or any(group and not name for group, name in zip(full, names, strict=True)):
        return None
    count = len(set(full) - {""})
    if not _MIN_GROUPS <= count < len(full) - full.count("") or not _are_runs(full):
        return None
    pairs = [f"{group} {name}".strip() if group != name else name for group, name in zip(full, names, strict=True)]
    is_unique = len(set(names)) == len(names)
    # Names that repeat in each group are certain, since a row hardly repeats its cells so.
    below = [name for group, name in zip(full, names, strict=True) if group]
    repeats = not is_unique and len(set(pairs)) == len(pairs) and 2 * len(set(below)) <= len(below) + 1
    is_sure = repeats or (is_unique and has_known_name(names)) or _are_names_of_merged(groups, names, pairs)
    if not are_column_names([*filter(None, pairs)]) or not is_sure:
        return None
    return None if _come_back(names, rows) else names if is_unique else pairs


def _are_names_of_merged(groups: list[str], names: list[str], pairs: list[str]) -> bool:
    """Return whether names that repeat in some groups only are certain: below merged cells, with usual ones."""
    return (
        _are_merged(groups)
        and len(set(pairs)) == len(pairs)
        and are_column_names(list(dict.fromkeys(filter(None, names))))
        and has_known_name(names)
    )


def describe_line_below(groups: list[str], names: list[str], rows: list[list[str]]) -> str:
    """Return the note that a line may name the columns below merged cells, but is read as a row; "" if it may not.

    Args:
        groups: The first line of the header.
        names: The line below it, which `names_below_groups` does not take for names.
        rows: Some of the lines below both.
    """
    groups, names = [cell.strip() for cell in groups], [cell.strip() for cell in names]
    if not rows or not _are_merged(groups) or len(names) != len(groups) or not all(names):
        return ""
    if any(NUMBER.fullmatch(name) for name in names) or _come_back(names, rows):
        return ""
    if not are_column_names(list(dict.fromkeys(names))):
        return ""
    return (
        f"line 2 ({', '.join(names)[:_SHOWN_CHARACTERS]!r}) is read as a row, and {groups.count('')} columns have no "
        "name; if it names the columns, remove the line above it"
    )


def _are_merged(groups: list[str]) -> bool:
    """Return whether a header leaves columns beside the named ones without a name, as merged cells do."""
    full = _filled_right(groups)
    return groups.count("") - full.count("") >= _MIN_UNNAMED and len(set(full) - {""}) >= _MIN_GROUPS


def _come_back(names: list[str], rows: list[list[str]]) -> bool:
    """Return whether a cell is a value of its column in another row, so that it is no name."""
    return any(
        name and name in (row[index].strip() for row in rows if index < len(row)) for index, name in enumerate(names)
    )


def _filled_right(groups: list[str]) -> list[str]:
    """Return the cells with each empty one filled by the one on its left; those at the beginning stay empty."""
    full: list[str] = []
    for cell in groups:
        full.append(cell or (full[-1] if full else ""))
    return full


def _are_runs(groups: list[str]) -> bool:
    """Return whether equal cells stand side by side."""
    starts = [group for index, group in enumerate(groups) if not index or group != groups[index - 1]]
    return len(set(starts)) == len(starts)
