"""What the form says, as a configuration."""

from typing import Any

from pydantic import ValidationError

from core.errors import StudioError, sentences
from core.runs.config import TITLES, QLoRAConfig, group_of

KNOBS = list(QLoRAConfig.model_fields)


def config_of(values: dict[str, Any]) -> QLoRAConfig:
    """The form as a configuration. Raises StudioError that names every field with its group: it may be folded away."""
    told_as = {name: f"{TITLES[name]} (under {group_of(name)})" for name in values if name in TITLES}
    numbers = [name for name in told_as if QLoRAConfig.model_fields[name].annotation in (int, float)]
    if empty := [told_as[name] for name in numbers if values[name] is None or values[name] == ""]:
        raise StudioError("\n".join(f"{name} is empty. Give it a value, or choose the preset again." for name in empty))
    try:
        return QLoRAConfig(**{name: "" if value is None else value for name, value in values.items()})
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: told_as.get(name, name))) from error
