"""The adapter that a run begins with: where it is, and which settings of the run differ from its own.

A run writes an adapter with the rank, the scale and the modules of its settings, so an adapter that is trained further
must have the same ones; a run says so before it starts, with the values to set.
"""

import json
from pathlib import Path
from typing import Any

from core.errors import StudioError
from core.runs.adapters import adapter_folder
from core.runs.config import TITLES, QLoRAConfig
from core.runs.findings import Finding
from core.runs.imported import find_tuned
from core.runs.store import RunStore
from core.settings import Settings

# Settings of a run by the names of PEFT's.
_SAME = {
    "lora_rank": "r", "lora_alpha": "lora_alpha", "lora_rslora": "use_rslora", "lora_dora": "use_dora",
    "lora_bias": "bias",
}  # fmt: skip
_DEFAULTS: dict[str, Any] = {"r": 8, "lora_alpha": 8, "use_rslora": False, "use_dora": False, "bias": "none"}
# Settings of single modules, which a run does not have.
_PER_MODULE = ("rank_pattern", "alpha_pattern", "trainable_token_indices", "target_parameters", "layer_replication")


def find_folder(settings: Settings, config: QLoRAConfig) -> Path:
    """Return the folder of the adapter that a run begins with.

    Args:
        settings: The studio's settings.
        config: The run's settings, which name it: an imported adapter, a run, or "RUN/step 20".

    Raises:
        StudioError: There is no such adapter, or it belongs to another base model.
    """
    name, _, adapter = config.start_adapter.strip().partition("/")
    run = find_tuned(RunStore(settings), name)
    own = run.config().model
    if own != config.model.strip():
        raise StudioError(
            f"The adapter {config.start_adapter!r} belongs to the base model {own}. Set {TITLES['model']} to it."
        )
    return adapter_folder(run, adapter or "final")


def findings(settings: Settings, config: QLoRAConfig) -> list[Finding]:
    """Return what keeps a run from beginning with the adapter that it names; nothing if it names none.

    Args:
        settings: The studio's settings.
        config: The run's settings.
    """
    if not config.start_adapter.strip():
        return []
    try:
        folder = find_folder(settings, config)
        read = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (StudioError, OSError, ValueError) as error:
        return [Finding("problem", str(error), ("start_adapter",))]
    if special := [name for name in _PER_MODULE if read.get(name)]:
        text = (
            f"The adapter {config.start_adapter!r} has {', '.join(special)}, which a run has no setting for. Chat and "
            "Evaluate can use it; choose another one to train further."
        )
        return [Finding("problem", text, ("start_adapter",))]
    wanted = {name: read.get(key, _DEFAULTS[key]) for name, key in _SAME.items()}
    differing = {name: value for name, value in wanted.items() if getattr(config, name) != value}
    if not differing:
        return [Finding("fine", f"Training begins with the adapter {config.start_adapter}.")]
    values = ", ".join(f"{TITLES[name]} to {_shown(value)}" for name, value in differing.items())
    text = f"The adapter {config.start_adapter!r} was trained with other settings. Set {values}."
    return [Finding("problem", text, tuple(differing))]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
