"""Names of runs and of their files, made of the settings that differ from a preset or from the run that was duplicated.

Pure functions over configurations: a name does not change when other runs come or go. A name that the user gave wins;
`core.runs.store.Run.title` decides.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from core.runs.config import TITLES, QLoRAConfig
from core.runs.presets import PRESETS
from core.settings import slug

# Settings that come first in a name, and their short forms; all others follow with their titles.
_SHORT_FORMS = {
    "model": "{}", "lora_rank": "r{}", "lora_alpha": "alpha {}", "lora_dropout": "dropout {}", "lora_init": "{}",
    "quantization": "{}", "learning_rate": "lr {}", "scheduler": "{}", "optimizer": "{}", "epochs": "{} epochs",
    "max_steps": "{} steps", "batch_size": "batch {}", "gradient_accumulation": "accumulate {}",
    "max_length": "length {}", "warmup_ratio": "warm-up {}", "seed": "seed {}",
}  # fmt: skip
# Settings that no result depends on.
_UNNAMED = {
    "subset", "eval_steps", "save_steps", "keep_checkpoints", "sample_prompts", "sample_tokens", "report_to",
    "gradient_checkpointing", "gpu_memory", "kernels", "attention", "deterministic",
}  # fmt: skip
_MAX_PARTS = 3
_SEPARATOR = " · "
_DATE_FORMATS = ("%d %b %H:%M", "%d %b %Y %H:%M:%S")


def changes(config: QLoRAConfig, other: QLoRAConfig) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ, each with its value in `other` and in `config`."""
    new, old = config.model_dump(), other.model_dump()
    return {name: (old[name], new[name]) for name in TITLES if new[name] != old[name]}


def format_value(value: Any) -> str:
    """Return a setting's value as names and comparisons show it, such as "2e-3" or "on"."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and 0 < abs(value) < 0.01:
        digits, power = f"{value:e}".split("e")
        return f"{float(digits):g}e{int(power)}"
    if isinstance(value, float):
        return f"{value:g}"
    return "–" if value == "" else str(value)


def format_changes(changed: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Return one text per changed setting, such as "Learning rate 2e-3 → 1e-3"."""
    return [f"{TITLES[name]} {format_value(old)} → {format_value(new)}" for name, (old, new) in changed.items()]


def derive_name(config: QLoRAConfig, parent: QLoRAConfig | None = None) -> str:
    """Return a name such as "r32 · lr 1e-3 · keeper".

    Args:
        config: The run's settings.
        parent: The settings of the run that it was duplicated from; without one, the closest preset is compared.
    """
    base, changed = "", changes(config, parent) if parent else None
    if changed is None or not _named(changed):
        base, changed = _closest_preset(config)
    parts = [_part(name, getattr(config, name)) for name in _named(changed)]
    if len(parts) > _MAX_PARTS:
        parts = [*parts[:_MAX_PARTS], f"{len(parts) - _MAX_PARTS} more"]
    return _SEPARATOR.join([*(parts or [base]), config.subset])


@lru_cache(maxsize=1)
def _references() -> list[tuple[str, QLoRAConfig]]:
    """Return the presets, and the defaults, which are the settings of runs from the command line."""
    return [*((name, preset.config()) for name, preset in PRESETS.items()), ("Defaults", QLoRAConfig())]


def _closest_preset(config: QLoRAConfig) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """Return the preset from which the fewest settings differ, and those settings."""
    found = ((name, changes(config, reference)) for name, reference in _references())
    return min(found, key=lambda preset: (len(_named(preset[1])), len(preset[1])))


def _named(changed: Mapping[str, Any]) -> list[str]:
    """Return the changed settings that a name shows, the important ones first."""
    return [name for name in dict.fromkeys([*_SHORT_FORMS, *TITLES]) if name in changed and name not in _UNNAMED]


def _part(name: str, value: Any) -> str:
    text = format_value(value)
    if name == "model":
        # The owner of a Hub id says little.
        text = text.rpartition("/")[2]
    if name not in _SHORT_FORMS:
        return f"{TITLES[name].lower()} {text}"
    part = _SHORT_FORMS[name].format(text)
    return part.removesuffix("s") if text == "1" and part.endswith((" epochs", " steps")) else part


def file_stem(title: str, run_id: str) -> str:
    """Return the beginning of the names of a run's files for download, such as "r32-lr-1e-3-keeper-9f3a61".

    Args:
        title: The run's title; titles repeat.
        run_id: The run. The last six hexadecimal digits are a hash of its id, so that runs of one title do not write
            over each other's files.
    """
    key = blake2b(run_id.encode(), digest_size=3).hexdigest()
    return f"{slug(title, 'run').rstrip('-._')}-{key}"


def make_distinct(titles: Sequence[str], created: Sequence[float], ids: Sequence[str]) -> list[str]:
    """Return the titles, with the date behind those that are the same, or with the id if the dates are the same, too.

    Args:
        titles: Titles of all listed runs.
        created: When each was created, in seconds since the epoch.
        ids: Their ids.
    """
    result = list(titles)
    for form in _DATE_FORMATS:
        dates = [datetime.fromtimestamp(seconds).strftime(form) for seconds in created]
        dated = [f"{title}{_SEPARATOR}{date}" for title, date in zip(titles, dates, strict=True)]
        result = [new if result.count(old) > 1 else old for old, new in zip(result, dated, strict=True)]
    return [f"{title} ({key})" if result.count(title) > 1 else title for title, key in zip(result, ids, strict=True)]
