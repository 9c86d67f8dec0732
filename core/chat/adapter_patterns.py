"""Bounds of an adapter's settings: patterns that are matched within a time, and sizes that its file bears out.

PEFT matches the regular expressions of adapter_config.json against the name of every module, with Python's `re`, which
has no time limit: one pattern of thirty characters can take years. Here they are matched first, by the library `regex`
within two seconds for the whole adapter, and PEFT gets the names that they match. Sizes decide how much PEFT allocates
before it looks at the tensors, so none may be much larger than those of the file.
"""

import copy
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import regex

from core.errors import StudioError

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig

_SECONDS = 2.0
# A rank below this is accepted without a tensor of that size.
_SMALL_RANK = 256
_MAX_LAYERS, _MAX_PATTERNS, _MAX_LENGTH = 1_000, 10_000, 2_000
_LITERAL = regex.compile(r"[\w.]+")


class Patterns:
    """The patterns of one adapter, and the time that is left for all of them."""

    def __init__(self, adapter: str):
        """Start the clock.

        Args:
            adapter: Name of the adapter, for messages.
        """
        self._adapter, self._left = adapter, _SECONDS
        self._compiled: dict[str, Any] = {}

    def find(self, patterns: Iterable[str], module: str) -> str | None:
        """Return the first of the patterns that is the end of a module's name, as for ranks and alphas, or None."""
        for pattern in patterns:
            if _LITERAL.fullmatch(pattern):
                is_found = f".{module}".endswith(f".{pattern}")
            else:
                is_found = self._matches(rf"(.*\.)?({pattern})", module)
            if is_found:
                return pattern
        return None

    def select(self, pattern: str, modules: Iterable[str]) -> list[str]:
        """Return the modules whose whole name a pattern matches, as for target modules."""
        return [module for module in modules if self._matches(pattern, module)]

    def _matches(self, pattern: str, module: str) -> bool:
        began = time.monotonic()
        try:
            if pattern not in self._compiled:
                if len(pattern) > _MAX_LENGTH or len(self._compiled) > _MAX_PATTERNS:
                    raise StudioError(
                        f"The adapter {self._adapter!r} has a pattern of {len(pattern):,} characters, or more than "
                        f"{_MAX_PATTERNS:,} patterns. Name its modules instead."
                    )
                self._compiled[pattern] = regex.compile(pattern)
            return self._compiled[pattern].fullmatch(module, timeout=max(self._left, 1e-3)) is not None
        except TimeoutError as error:
            raise StudioError(
                f"The adapter {self._adapter!r} has a pattern that takes more than {_SECONDS:g} seconds to match: "
                f"{pattern[:80]}. Name its modules instead."
            ) from error
        except regex.error as error:
            raise StudioError(
                f"The adapter {self._adapter!r} has a pattern that is none: {pattern[:80]} ({error})."
            ) from error
        finally:
            self._left -= time.monotonic() - began


def check_settings(found: Mapping[str, Any], adapter: str) -> None:
    """Check the types and sizes of settings that PEFT would use unchecked.

    Args:
        found: The content of adapter_config.json.
        adapter: Name of the adapter, for messages.

    Raises:
        StudioError: One is of another type or too large, or names code to import.
    """
    for name in ("megatron_config", "megatron_core"):
        # PEFT imports the module that the second one names.
        if found.get(name) and not (name == "megatron_core" and not found.get("megatron_config")):
            raise StudioError(
                f"The adapter {adapter!r} has {name}, which names code to import. No foreign code is run."
            )
    for name in ("rank_pattern", "alpha_pattern"):
        value = found.get(name) or {}
        if not isinstance(value, dict) or not all(_is_number(each) for each in value.values()):
            raise StudioError(f"The adapter {adapter!r} has {name} = {str(value)[:80]}. Expected numbers by patterns.")
    for name in ("layers_pattern", "modules_to_save"):
        value = found.get(name) or []
        for each in [value] if isinstance(value, str) else value:
            if not isinstance(each, str) or not _LITERAL.fullmatch(each):
                raise StudioError(
                    f"The adapter {adapter!r} has {str(each)[:80]!r} in {name}. Expected names of modules."
                )
    if sum(_length(part) for part in found.get("layer_replication") or []) > _MAX_LAYERS:
        raise StudioError(f"The adapter {adapter!r} repeats more than {_MAX_LAYERS:,} layers (layer_replication).")


def check_ranks(config: "LoraConfig", tensors: Mapping[str, "torch.Tensor"], adapter: str) -> None:
    """Check that no rank is greater than those of the adapter's tensors.

    Raises:
        StudioError: A rank is greater, or no whole number from 1.
    """
    there = max((tensor.shape[0] for key, tensor in tensors.items() if ".lora_" in key and tensor.ndim), default=0)
    for rank in (config.r, *(config.rank_pattern or {}).values()):
        if not isinstance(rank, int) or not 1 <= rank <= max(there, _SMALL_RANK):
            raise StudioError(
                f"The adapter {adapter!r} has the rank {rank} in its settings, and its tensors have at most {there:,}. "
                "Save it again."
            )


def resolve(
    config: "LoraConfig", base: "torch.nn.Module", tensors: Mapping[str, "torch.Tensor"], adapter: str
) -> "LoraConfig":
    """Return a configuration that names modules where the given one has patterns.

    Args:
        config: The configuration.
        base: The base model.
        tensors: All tensors of the adapter's file.
        adapter: Name of the adapter, for messages.

    Raises:
        StudioError: Matching takes too long, or no module has a name that the adapter targets.
    """
    config, patterns = copy.deepcopy(config), Patterns(adapter)
    # An adapter that repeats layers names modules that the base has not yet.
    of_file = {key.removeprefix("base_model.model.").partition(".lora_")[0] for key in tensors if ".lora_" in key}
    modules = sorted(of_file | {name for name, _ in base.named_modules()})
    if isinstance(config.target_modules, str) and config.target_modules != "all-linear":
        config.target_modules = set(patterns.select(config.target_modules, modules))
        if not config.target_modules:
            raise StudioError(
                f"The adapter {adapter!r} belongs to another model: no module here has a name that it targets."
            )
    if isinstance(config.exclude_modules, str):
        config.exclude_modules = set(patterns.select(config.exclude_modules, modules))
    # Parameters of experts are adapted by their names.
    names = modules + [name for name, _ in base.named_parameters()]
    for field in ("rank_pattern", "alpha_pattern"):
        given = getattr(config, field) or {}
        keys = {name: patterns.find(given, name) for name in names} if given else {}
        setattr(config, field, {name: given[key] for name, key in keys.items() if key is not None})
    return config


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _length(part: Any) -> int:
    try:
        start, end = part
        return max(0, end - start)
    except (TypeError, ValueError):
        # PEFT refuses what is no pair of numbers.
        return 0
