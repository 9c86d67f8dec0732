"""Depth of lists and objects that are nested inside each other."""

from typing import Any

# Python's own limit of nested calls is 1,000, and a function may take several calls per level.
MAX_DEPTH = 100


def is_too_deep(value: Any) -> bool:
    """Return whether a value holds lists and objects more than `MAX_DEPTH` deep. Makes no nested calls."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, (list, tuple, dict))]
        if not containers:
            return False
        level = [
            item
            for container in containers
            for item in (container.values() if isinstance(container, dict) else container)
        ]
    return True
