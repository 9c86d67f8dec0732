"""A configuration as others take it: YAML, and the command line that starts the same run."""

import shlex

import yaml
from pydantic import ValidationError

from core.errors import StudioError, sentences
from core.runs.config import TITLES, QLoRAConfig, group_of


def to_yaml(config: QLoRAConfig) -> str:
    """Every knob, in its group, as YAML that `from_yaml` reads."""
    lines, group = [], ""
    for name, value in config.model_dump().items():
        if group_of(name) != group:
            group = group_of(name)
            lines.append(f"# {group}")
        lines.append(yaml.safe_dump({name: value}, allow_unicode=True, width=1000).removesuffix("\n"))
    return "\n".join(lines) + "\n"


def from_yaml(text: str, name: str = "the YAML") -> QLoRAConfig:
    """A configuration; knobs that are not named have their defaults.

    Raises StudioError that names what is wrong.
    """
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise StudioError(f"{name} is no YAML that can be read{line}. Expected lines such as lora_rank: 16.") from error
    if not isinstance(found, dict):
        raise StudioError(f"{name} holds no knobs. Expected lines such as lora_rank: 16.")
    found.pop("schema_version", None)
    try:
        return QLoRAConfig.model_validate(found)
    except ValidationError as error:
        raise StudioError(f"{name}:\n{sentences(error, lambda key: TITLES.get(key, key))}") from error


def command_line(config: QLoRAConfig) -> str:
    """What starts the same run in a terminal: the knobs that are not at their defaults."""
    words = ["python", "-m", "core", "train"]
    for name, value in config.model_dump().items():
        if value == QLoRAConfig.model_fields[name].default:
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    return shlex.join(words)
