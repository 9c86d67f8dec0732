"""Steps of a recipe, an instruction or a solution, which are one text together and no answers to choose from."""

from collections.abc import Collection, Iterable
from typing import Any

from core.data.formats.columns import find_column, name_words
from core.data.formats.values import Note, is_missing, nested

_STEP_WORDS = frozenset(("steps", "directions", "procedure", "preparation"))
# Words of a column about the steps.
_REMARKS = frozenset(
    ("num", "number", "count", "n", "id", "ids", "time", "minutes", "training", "total", "max", "step")
)
# Names that mean the steps of a recipe beside its ingredients, and a question elsewhere.
_METHOD_NAMES = ("instructions", "method", "steps")
_TEXT_KEYS = ("text", "content", "description", "instruction", "instructions", "step", "action", "name", "value")
# Fields that count the steps, of which the order of the list says the same.
_NUMBER_KEYS = frozenset(("step", "number", "no", "nr", "index", "idx", "order", "position", "step_number", "id"))


def is_step_name(name: str) -> bool:
    """Return whether a column is named like the steps of something: directions, solution_steps."""
    words = set(name_words(name))
    return bool(words & _STEP_WORDS) and not words & _REMARKS


def is_method_name(name: str) -> bool:
    """Return whether a column that is an answer, or stands beside ingredients, is named like steps."""
    return is_step_name(name) or find_column([name], _METHOD_NAMES) is not None


def has_steps(columns: Collection[str], lists: Iterable[str]) -> bool:
    """Return whether one of some lists holds steps, by its name or by the ingredients beside it."""
    is_recipe = find_column(list(columns), ("ingredients",)) is not None
    return any(is_step_name(name) or (is_recipe and is_method_name(name)) for name in lists)


def steps_text(value: Any, name: str, note: Note) -> str | None:
    """Return a list of steps as one text with a line for each, or None for a value of another kind.

    Args:
        value: A list of texts, or of objects with a text; also one written as text.
        name: The name of the value in notes.
        note: Callback for sentences about what is joined or not used.
    """
    steps = nested(value)
    if not isinstance(steps, list) or not steps:
        return None
    texts, unused = [], set()
    for step in steps:
        key = _text_key(step) if isinstance(step, dict) else None
        text = step[key] if key else step
        if not isinstance(text, str):
            return None
        texts.append(text.strip())
        rest = {str(field): cell for field, cell in step.items() if field != key} if key else {}
        unused |= {field for field, cell in rest.items() if not is_missing(cell) and field not in _NUMBER_KEYS}
    if len(texts) > 1:
        note(f"{name} is a list of steps; they are joined by line ends")
    for field in sorted(unused):
        note(f"the field {field!r} of {name} is not used")
    return "\n".join(texts)


def _text_key(step: dict[str, Any]) -> str | None:
    return next((key for key in _TEXT_KEYS if isinstance(step.get(key), str) and not is_missing(step[key])), None)
