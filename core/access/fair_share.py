"""Which stored things of visitors to delete, so that nobody's are pushed out by somebody who stores more.

The folder says whose each file is, so no file is opened to find out. A file may vanish at any time, because calls of
other visitors delete files meanwhile.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from core.system.files import modified_ns


def surplus(paths: Iterable[Path], owner_of: Callable[[Path], str], each: int, total: int) -> list[Path]:
    """Return the paths to delete, the oldest of an owner first.

    Nobody keeps more than `each`. If there are still more than `total`, an owner with the most gives up the oldest;
    among owners with equally many, the one whose oldest path was unused for the longest time.

    Args:
        paths: Files or folders.
        owner_of: Returns the owner of a path; empty if it is unknown, and then the path has an owner of its own.
        each: Maximum of one owner.
        total: Maximum of all owners together.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[owner_of(path) or f"?{path.name}"].append(path)
    count = sum(map(len, groups.values()))
    if count <= total and all(len(group) <= each for group in groups.values()):
        return []
    # Of each path: how many of its owner are newer, and its time. The paths with most newer ones go first.
    ranked = []
    for group in groups.values():
        newest_first = sorted(((modified_ns(path), path) for path in group), reverse=True)
        ranked += [(newer, -time, path) for newer, (time, path) in enumerate(newest_first)]
    ranked.sort(reverse=True)
    more_than_each = sum(newer >= each for newer, _, _ in ranked)
    return [path for _, _, path in ranked[: max(more_than_each, count - total)]]
