"""Reader of YAML files: a document is read like one of JSON, and the examples of Rasa one per row.

Scalars follow YAML 1.2: `yes`, `no`, `on` and dates are texts. Aliases, with which a few lines can stand for gigabytes,
are refused, and so is everything that names a class.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from core.data.depth import MAX_DEPTH
from core.data.readers import intents, json_tables
from core.data.readers.json_decoder import Decoder
from core.data.readers.lines import ROW_LIMIT, LineSource, SourceRow
from core.errors import StudioError, reason_of

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALARS = {
    "null": (re.compile(r"(?:~|null|Null|NULL|)"), ["~", "n", "N", ""]),
    "bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)"), list("tTfF")),
    "int": (re.compile(r"[-+]?(?:0|[1-9]\d{0,17})"), list("-+0123456789")),
    "float": (re.compile(r"[-+]?\d{1,30}\.\d{1,30}(?:[eE][-+]?\d{1,3})?"), list("-+0123456789")),
}


class _Loader(_PARSER):
    """Loader whose scalars follow YAML 1.2, and that refuses an object in which a name occurs twice."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's own way to name the scalars

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        """Return the values by their names, all of which are texts.

        Raises:
            ConstructorError: A name occurs twice.
        """
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if (twice := next((name for name, count in names.items() if count > 1), None)) is not None:
            raise yaml.constructor.ConstructorError(None, None, f"names {twice[:60]!r} twice", node.start_mark)
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}


for _name, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"^{_pattern.pattern}$"), _first)


def read(source: LineSource) -> Iterator[SourceRow]:
    """Yield the rows of a file of YAML.

    Raises:
        StudioError: The file is no YAML, has aliases, or is too long.
    """
    text = source.read(ROW_LIMIT)
    if len(text) == ROW_LIMIT:
        raise StudioError(f"{source.name!r} has more than {ROW_LIMIT:,} characters of YAML. Save its rows as .jsonl.")
    json_of, number = Decoder(source), 0
    for document in _documents(text, source.name):
        for split, row in _rows(document, source):
            number += 1
            yield json_of.read(number, json.dumps(row, ensure_ascii=False, default=str), row, split)


def _documents(text: str, name: str) -> list[Any]:
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_PARSER):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1
                raise StudioError(f"{name!r} has an alias (*name) in line {line}. Write the text itself in its place.")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise StudioError(f"{name!r} is nested too deeply. Expected at most {MAX_DEPTH} levels.")
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or reason_of(error)
        raise StudioError(f"{name!r} is not valid YAML{line}: {reason}. Correct it, and open it again.") from error


def _rows(document: Any, source: LineSource) -> list[tuple[str | None, Any]]:
    if isinstance(document, list):
        return [(None, row) for row in document]
    if (examples := intents.rows_of_document(document, source.note)) is not None:
        return [(None, row) for row in examples]
    if isinstance(document, dict) and (found := json_tables.rows_in(document, source.note)) is not None:
        return found
    return [(None, document)]
