"""Choice of the files of visitors to delete: those of the visitors who store most, so that others keep theirs.

A file's name says whose it is, so no file is opened to find out. A file may be deleted at any time, because calls of
other visitors delete files meanwhile.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import TypeVar

from core.system.files import modified_ns

ThingT = TypeVar("ThingT", bound=Hashable)


def surplus_files(paths: Iterable[Path], each: int, total: int) -> list[Path]:
    """Return the files or folders to delete, as `surplus` does; their names end with "-OWNER" before the suffix."""
    ages = {path: modified_ns(path) for path in paths}
    return surplus(ages, lambda path: path.stem.partition("-")[2], ages.__getitem__, each, total)


def surplus(
    things: Iterable[ThingT], owner_of: Callable[[ThingT], str], used_at: Callable[[ThingT], float], each: int,
    total: int,
) -> list[ThingT]:  # fmt: skip
    """Return what to delete, the oldest of an owner first.

    No owner keeps more than `each`. If there are still more than `total`, an owner with the most gives up the oldest;
    among owners with equally many, the one whose oldest was unused for the longest time.

    Args:
        things: What is stored.
        owner_of: Returns the owner; empty if it is unknown, and then the thing has an owner of its own.
        used_at: Returns when it was used last.
        each: Maximum of one owner.
        total: Maximum of all owners together.
    """
    groups: dict[Hashable, list[ThingT]] = defaultdict(list)
    for thing in things:
        groups[owner_of(thing) or (thing,)].append(thing)
    # Each thing with the number of its owner's newer things, and when it was used. Those with the most newer ones go
    # first.
    ranked = []
    for group in groups.values():
        newest_first = sorted(group, key=used_at, reverse=True)
        ranked += [(newer, used_at(thing), thing) for newer, thing in enumerate(newest_first)]
    ranked.sort(key=lambda one: (-one[0], one[1]))
    beyond_each = sum(newer >= each for newer, _, _ in ranked)
    return [thing for _, _, thing in ranked[: max(beyond_each, len(ranked) - total)]]
