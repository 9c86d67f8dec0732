"""Names of classes that a file keeps apart from its rows, which hold only their numbers.

`datasets` stores them in the schema of a table (ClassLabel), the Hub's viewer in its features, and other files as a
list or an object beside the rows, such as {"label_names": ["no", "yes"], "data": [{"text": …, "label": 1}]}. The
numbers are read as the names, since an answer "1" teaches nothing about what it means.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.data.formats import columns as usual
from core.data.formats.columns import find_column
from core.data.listing import list_some

Note = Callable[[str], None]
# Key of the features of `datasets` in the metadata of an Arrow schema.
_METADATA = b"huggingface"
# A field beside the rows that lists classes, without the ending for a list or a map.
_LIST_NAME = re.compile(
    r"(?P<of>[a-z]*?)_?(?:names?|list|map|mapping|dict|legend|vocab|texts?)?|id2(?P<to>[a-z]+)|(?P<back>[a-z]+)2id|int2str"
)
_CLASS_WORDS = (*usual.SURE_LABEL_NAMES, "category", "topic", "target", "class_label", "tag")
_CLASS_FIELDS = frozenset(("id", "name", "label", "color", "supercategory", "description"))
_MAX_CLASSES, _MAX_CHARACTERS = 10_000, 200
_SHOWN = 4


class ClassNames:
    """The names of the classes in some columns.

    Attributes:
        features: The features of these columns as `datasets` writes them; each holds a ClassLabel at any depth.
    """

    def __init__(self, features: Mapping[str, Any]) -> None:
        self.features = {name: feature for name, feature in features.items() if _classes(feature)}
        self._named: set[str] = set()

    @classmethod
    def of_metadata(cls, metadata: Mapping[bytes, bytes] | None) -> "ClassNames":
        """Return the names in the metadata of an Arrow schema; none where `datasets` did not write it."""
        try:
            features = json.loads((metadata or {})[_METADATA])["info"]["features"]
        except (KeyError, TypeError, ValueError, RecursionError):
            # Anybody may write such metadata; without it, the numbers stay.
            features = {}
        return cls(features if isinstance(features, dict) else {})

    def named(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row with names in place of the numbers; a number without a name stays."""
        found = {name: _name(row[name], feature) for name, feature in self.features.items() if name in row}
        self._named |= {name for name, value in found.items() if value != row[name]}
        return row | found if found else row

    def notes(self) -> list[str]:
        """Return a sentence about each column in which a number was replaced."""
        return [
            f"the numbers in {name!r} are read as the names that the file gives them "
            f"({list_some(_classes(self.features[name]), _SHOWN)})"
            for name in self.features
            if name in self._named
        ]


def _classes(feature: Any) -> list[str]:
    """Return the names of the classes in a feature at any depth; empty where it has none."""
    if isinstance(feature, list):
        return next((found for part in feature if (found := _classes(part))), [])
    if not isinstance(feature, dict):
        return []
    if feature.get("_type") == "ClassLabel":
        names = feature.get("names")
        return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []
    return next((found for part in feature.values() if (found := _classes(part))), [])


def _name(value: Any, feature: Any) -> Any:
    """Return a value with names in place of the numbers of its classes."""
    if isinstance(feature, list):
        feature = feature[0] if len(feature) == 1 else None
    if isinstance(value, list):
        inner = feature.get("feature", feature) if isinstance(feature, dict) else feature
        return [_name(item, inner) for item in value]
    if not isinstance(feature, dict):
        return value
    if feature.get("_type") == "ClassLabel":
        names = _classes(feature)
        is_class = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names)
        return names[value] if is_class else value
    if isinstance(value, dict):
        inner = feature.get("feature", feature)
        return {key: _name(part, inner.get(key)) if isinstance(inner, dict) else part for key, part in value.items()}
    return value


def features_of_viewer(features: Any) -> dict[str, Any]:
    """Return the features in an answer of the Hub's viewer: [{"name": "label", "type": {…}}]."""
    items = features if isinstance(features, list) else []
    return {
        item["name"]: item.get("type") for item in items if isinstance(item, dict) and isinstance(item.get("name"), str)
    }


def find_beside(value: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[str, ClassNames] | None:
    """Return the field beside the rows that names the classes of one of their columns, or None.

    Args:
        value: The fields of the file beside the rows; they may hold the names one level deeper.
        rows: The rows, all of whose numbers in the column must have a name.
    """
    inner = {f"{name}.{key}": part for name, one in value.items() if isinstance(one, dict) for key, part in one.items()}
    numbered = _numbered(rows)
    for path, part in (*value.items(), *inner.items()):
        names = _names_in(part)
        column = _column_of(path.rpartition(".")[2], list(numbered)) if len(names) > 1 else None
        if column and all(0 <= number < len(names) for number in numbered[column]):
            return path, ClassNames({column: {"_type": "ClassLabel", "names": names}})
    return None


def are_classes(items: list[dict[str, Any]]) -> bool:
    """Return whether a list of objects holds nothing but the ids and the names of classes, from 0."""
    return len(_names_in(items)) == len(items) > 1 and all(item.keys() <= _CLASS_FIELDS for item in items)


def _numbered(rows: Sequence[Mapping[str, Any]]) -> dict[str, set[int]]:
    """Return the different numbers in each column that holds whole numbers and nothing else."""
    found: dict[str, set[int]] = {}
    others: set[str] = set()
    for row in rows:
        for name, value in row.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, int) and not isinstance(item, bool):
                    found.setdefault(name, set()).add(item)
                elif item is not None:
                    others.add(name)
    return {name: numbers for name, numbers in found.items() if name not in others}


def _column_of(field: str, numbered: list[str]) -> str | None:
    """Return the column whose classes a field names by its own name, such as `label` for "label_names"."""
    matched = _LIST_NAME.fullmatch(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", field).lower())
    if matched is None:
        return None
    word = next((part for part in (matched["of"], matched["to"], matched["back"]) if part), "")
    singular = re.sub(r"ies$", "y", word) if word.endswith("ies") else re.sub(r"(?<=ss)es$|(?<!s)s$", "", word)
    if word and singular not in _CLASS_WORDS and not find_column(numbered, (singular, f"{singular}_id")):
        return None
    wanted = (singular, f"{singular}_id", word, f"{word}_id") if word else ()
    return find_column(numbered, wanted) or find_column(numbered, (*usual.LABEL_NAMES, "label_id", "class_id"))


def _names_in(value: Any) -> list[str]:
    """Return the names that a value gives to 0, 1 and so on: a list, a map in either direction, or objects with ids."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(item.get("id")): item.get("name", item.get("label")) for item in value}
    if isinstance(value, dict) and all(isinstance(item, int) and not isinstance(item, bool) for item in value.values()):
        value = {str(number): name for name, number in value.items()}
    if isinstance(value, dict):
        value = [value.get(str(number)) for number in range(len(value))]
    is_names = (
        isinstance(value, list)
        and len(value) <= _MAX_CLASSES
        and all(isinstance(name, str) and 0 < len(name) <= _MAX_CHARACTERS for name in value)
        and len(set(value)) == len(value)
    )
    return value if is_names else []
