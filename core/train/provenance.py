"""Record of what a run was made with, so that it can be repeated: base commit, code, packages, hardware."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.settings import hardware

_PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "accelerate")


def collect_provenance(model: Any) -> dict[str, Any]:
    """Return the provenance of a run on a loaded base model, for the "lineage" field of its "prepared" event."""
    return {
        "base_commit": getattr(model.config, "_commit_hash", None),
        "code": _code_version(),
        "packages": package_versions(),
        "python": platform.python_version(),
        "hardware": hardware().description,
    }


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide how a run trains."""
    return {name: _package_version(name) for name in _PACKAGES}


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _code_version() -> str:
    """Return the commit of this code, with "-dirty" if it was changed since; "unknown" outside a git clone."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).resolve().parent, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return result.stdout.strip() or "unknown"
