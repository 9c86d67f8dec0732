"""Settings of a run as YAML, and as the command line that starts the same run."""

import shlex

import yaml
from pydantic import ValidationError

from core.errors import StudioError, sentences
from core.runs.config import TITLES, QLoRAConfig, group_of
from core.system.strict_yaml import YAML_ERRORS, parse_yaml


def to_yaml(config: QLoRAConfig) -> str:
    """Return all settings by group, as YAML that `from_yaml` reads."""
    lines, group = [], ""
    for name, value in config.model_dump().items():
        if group_of(name) != group:
            group = group_of(name)
            lines.append(f"# {group}")
        lines.append(yaml.safe_dump({name: value}, allow_unicode=True, width=1000).removesuffix("\n"))
    return "\n".join(lines) + "\n"


def from_yaml(text: str, name: str = "the YAML") -> QLoRAConfig:
    """Return the settings in a YAML text; those that it does not name have their defaults.

    Args:
        text: The YAML.
        name: What to call it in messages.

    Raises:
        StudioError: The text is not YAML, or a setting is unknown or invalid.
    """
    try:
        found = parse_yaml(text)
    except YAML_ERRORS as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise StudioError(f"{name} is not valid YAML{line}. Expected lines such as lora_rank: 16.") from error
    if not isinstance(found, dict):
        raise StudioError(f"{name} holds no settings. Expected lines such as lora_rank: 16.")
    found.pop("schema_version", None)
    try:
        return QLoRAConfig.model_validate(found)
    except ValidationError as error:
        raise StudioError(f"{name}:\n{sentences(error, lambda key: TITLES.get(key, key))}") from error


def command_line(config: QLoRAConfig) -> str:
    """Return the command that starts the same run, with the settings that differ from their defaults."""
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
