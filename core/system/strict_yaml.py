"""Strict reading of YAML: plain values only, without aliases, tags and names that occur twice."""

from collections import Counter
from typing import Any

import yaml

from core.errors import StudioError

# Exceptions of PyYAML on texts from outside. Besides its own, the conversion of a value raises those of Python: for a
# tag such as !!bool on another word, or !!int on an empty text.
YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)


class _Loader(yaml.SafeLoader):
    """Loader that refuses aliases, with which a few lines can stand for gigabytes, and names that occur twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node; none is an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "an alias", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return the values by their names; each name occurs once."""
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if (twice := next((name for name, count in names.items() if count > 1), None)) is not None:
            raise StudioError(f"It names {twice[:80]!r} twice. Remove one of the two lines.")
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Return the values of a YAML text.

    Raises:
        YAML_ERRORS: It is no YAML, or has aliases or tags.
        StudioError: It names a value twice.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
