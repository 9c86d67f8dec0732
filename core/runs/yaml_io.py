"""Settings of a run as YAML, and as the command line that starts the same run."""

import shlex
from collections import Counter
from typing import Any

import yaml
from pydantic import ValidationError

from core.errors import StudioError, sentences
from core.runs.config import TITLES, QLoRAConfig, group_of


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
        if twice := next((name for name, count in names.items() if count > 1), None):
            raise StudioError(f"It names {twice[:80]!r} twice. Remove one of the two lines.")
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


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
        found = _parse(text)
    # PyYAML looks up what a tag such as !!bool says, and takes the first character of a number.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
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
