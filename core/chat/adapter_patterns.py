"""Settings of an adapter within bounds: patterns matched within limits, sizes that its tensors have, and scales.

PEFT matches the regular expressions of adapter_config.json against the name of every module, with Python's `re`, which
has no limit of time and cannot be stopped: one pattern of thirty characters can take years. Other libraries have a
limit of time, and take gigabytes within it. Here a process with limits (`core.chat.pattern_worker`) matches them first,
with `re`, and PEFT gets the names that they match. Sizes decide how much PEFT allocates before it looks at the tensors,
so none may be much larger than those of the file.
"""

import copy
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from core.chat.pattern_worker import CPU_SECONDS, NO_MEMORY
from core.errors import StudioError
from core.system.launch import python_path

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig

# A rank below this is accepted without a tensor of that size.
_SMALL_RANK = 256
_MAX_PATTERNS, _MAX_LENGTH = 1_000, 2_000
_WALL_SECONDS = 60
_LITERAL = re.compile(r"[\w.]+")
# PEFT's word for all linear layers, which is no pattern.
_ALL = "all-linear"


class Patterns:
    """The patterns of one adapter, which are matched against names of modules when it is made.

    Names, which are patterns without special characters, need no matching.
    """

    def __init__(self, adapter: str, modules: Iterable[str], ends: Iterable[str] = (), wholes: Iterable[str] = ()):
        """Match the patterns, all in one process, if there are any.

        Args:
            adapter: Name of the adapter, for messages.
            modules: Names of modules.
            ends: Patterns of the end of a name, as for ranks and alphas.
            wholes: Patterns of a whole name, as for target modules.

        Raises:
            StudioError: A pattern is invalid or too long, or the patterns are too many or take too much time or memory.
        """
        self._modules = list(modules)
        # By expression: the pattern that it was made of.
        expressions = {_of_end(each): each for each in ends if not _LITERAL.fullmatch(each)}
        expressions |= {each: each for each in wholes}
        if len(expressions) > _MAX_PATTERNS or (longest := max(map(len, expressions), default=0)) > _MAX_LENGTH:
            size = f"{len(expressions):,} patterns" if len(expressions) > _MAX_PATTERNS else (
                f"a pattern of {longest:,} characters"
            )  # fmt: skip
            raise StudioError(f"The adapter {adapter!r} has {size}. Name its modules instead.")
        self._matched = dict(zip(expressions, _match(adapter, expressions, self._modules), strict=True))

    def find(self, patterns: Iterable[str]) -> dict[str, str]:
        """Return, for each module that one matches, the first of the patterns that is the end of its name."""
        order = {pattern: index for index, pattern in enumerate(patterns)}
        expressions = [pattern for pattern in order if not _LITERAL.fullmatch(pattern)]
        names = order.keys() - set(expressions)
        found = {}
        for module in self._modules:
            parts = module.split(".")
            hits = [end for first in range(len(parts)) if (end := ".".join(parts[first:])) in names]
            hits += [pattern for pattern in expressions if module in self._matched[_of_end(pattern)]]
            if hits:
                found[module] = min(hits, key=order.__getitem__)
        return found

    def select(self, pattern: str) -> set[str]:
        """Return the modules whose whole name a pattern matches."""
        return self._matched[pattern]


def _of_end(pattern: str) -> str:
    return rf"(.*\.)?({pattern})"


def _match(adapter: str, expressions: Mapping[str, str], modules: list[str]) -> list[set[str]]:
    """Return the modules that each expression matches, in the order of the expressions.

    Args:
        adapter: Name of the adapter, for messages.
        expressions: The patterns by the expressions that are made of them.
        modules: Names of modules.

    Raises:
        StudioError: As `Patterns`.
    """
    if not expressions:
        return []
    lines = _run_worker(adapter, {"expressions": list(expressions), "modules": modules})
    results = [json.loads(line) for line in lines]
    for pattern, result in zip(expressions.values(), results, strict=False):
        if isinstance(result, str):
            raise StudioError(f"The adapter {adapter!r} has an invalid pattern: {pattern[:80]} ({result[:80]}).")
    if len(results) < len(expressions):
        pattern = list(expressions.values())[len(results)]
        raise StudioError(
            f"The adapter {adapter!r} has a pattern that takes more than {CPU_SECONDS} seconds to match, or too much "
            f"memory: {pattern[:80]}. Name its modules instead."
        )
    return [{modules[index] for index in result} for result in results]


def _run_worker(adapter: str, request: dict[str, list[str]]) -> list[bytes]:
    """Return the lines that the worker wrote until it ended or a limit ended it.

    Raises:
        StudioError: It could not be run, which says nothing about the adapter.
    """
    kept = {name: os.environ[name] for name in ("PATH", "VIRTUAL_ENV", "LANG", "TMPDIR") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-P", "-B", "-m", "core.chat.pattern_worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**kept, "PYTHONPATH": python_path(), "PYTHONUTF8": "1"},
    )  # fmt: skip
    try:
        out, _ = process.communicate(json.dumps(request).encode(), timeout=_WALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise StudioError(
            f"The patterns of the adapter {adapter!r} were not matched within {_WALL_SECONDS} seconds. Try again when "
            "the machine has less to do."
        ) from error
    finally:
        process.kill()
        process.communicate()
    *lines, _ = out.split(b"\n")
    limits = (0, NO_MEMORY, -signal.SIGXCPU, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT)
    if process.returncode not in limits:
        raise StudioError(
            f"The patterns of the adapter {adapter!r} could not be matched: the process ended with exit code "
            f"{process.returncode}. Try again when more memory is free."
        )
    return lines


def check_ranks(config: "LoraConfig", tensors: Mapping[str, "torch.Tensor"], adapter: str) -> None:
    """Check that no rank is greater than those of the adapter's tensors.

    Raises:
        StudioError: A rank is greater.
    """
    there = max((tensor.shape[0] for key, tensor in tensors.items() if ".lora_" in key and tensor.ndim), default=0)
    for rank in (config.r, *(config.rank_pattern or {}).values()):
        if not isinstance(rank, int) or not 1 <= rank <= max(there, _SMALL_RANK):
            raise StudioError(
                f"The adapter {adapter!r} has the rank {str(rank)[:40]} in its settings, and its tensors have at most "
                f"{there:,}. Save it again."
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
        StudioError: Matching takes too much, or no module has a name that the adapter targets.
    """
    config = copy.deepcopy(config)
    # An adapter that repeats layers names modules that the base has not yet.
    of_file = {key.removeprefix("base_model.model.").partition(".lora_")[0] for key in tensors if ".lora_" in key}
    modules = sorted(of_file | {name for name, _ in base.named_modules()})
    # Parameters of experts are adapted by their names.
    names = modules + [name for name, _ in base.named_parameters()]
    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    selecting = [
        each for each in (config.target_modules, config.exclude_modules) if isinstance(each, str) and each != _ALL
    ]
    patterns = Patterns(adapter, names, [*ranks, *alphas], selecting)
    if config.target_modules in selecting:
        config.target_modules = patterns.select(config.target_modules).intersection(modules)
        if not config.target_modules:
            raise StudioError(
                f"The adapter {adapter!r} belongs to another model: no module here has a name that it targets."
            )
    if config.exclude_modules in selecting:
        config.exclude_modules = patterns.select(config.exclude_modules).intersection(modules)
    config.rank_pattern = {name: ranks[pattern] for name, pattern in patterns.find(ranks).items()}
    config.alpha_pattern = {name: alphas[pattern] for name, pattern in patterns.find(alphas).items()}
    return config


def module_scales(config: "LoraConfig", names: list[str], adapter: str) -> dict[str, float]:
    """Return alpha / rank of each module, or alpha / sqrt(rank) with rank-stabilized scaling.

    Args:
        config: Settings of the adapter.
        names: Names of its modules.
        adapter: Name of the adapter, for messages.
    """
    ranks, alphas, scales = config.rank_pattern or {}, config.alpha_pattern or {}, {}
    patterns = Patterns(adapter, names, [*ranks, *alphas])
    of_rank, of_alpha = patterns.find(ranks), patterns.find(alphas)
    for name in names:
        rank, alpha = ranks.get(of_rank.get(name), config.r), alphas.get(of_alpha.get(name), config.lora_alpha)
        scales[name] = alpha / (math.sqrt(rank) if config.use_rslora else rank)
    return scales
