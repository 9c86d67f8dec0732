"""Settings from the environment, folders of STUDIO_HOME, and the conversion of names into safe paths.

Settings come from environment variables (STUDIO_HOME, STUDIO_MODELS, …), never from the page. `inside` is the only
function that turns a name from outside into a path.
"""

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import StudioError

# A Hugging Face Space with persistent storage mounts it here.
SPACE_DISK = Path("/data")


def on_space() -> bool:
    """Return whether this process runs in a Hugging Face Space."""
    return bool(os.environ.get("SPACE_ID"))


def _default_home() -> Path:
    if on_space() and os.access(SPACE_DISK, os.W_OK):
        return SPACE_DISK / "studio"
    return Path.home() / ".qlora-studio"


class Settings(BaseSettings):
    """Settings of the studio, each read from the environment variable STUDIO_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_", env_ignore_empty=True)

    home: Path = Field(default_factory=_default_home, description="Folder of datasets, subsets, runs and models.")
    models: Path | None = Field(None, description="Folder whose subfolders are offered as local models.")
    embedded: Path | None = Field(
        None, description="Folder of the embedded model, already converted, as in the Docker image."
    )
    password: SecretStr | None = Field(
        None, description="Password for every browser; required to listen beyond loopback."
    )
    api_key: SecretStr | None = Field(
        None, description="Key of the API for programs; required to listen beyond loopback with `python -m core serve`."
    )
    root_path: str | None = Field(None, description="Path or full URL under which a proxy serves the studio.")
    fast_chat: bool = Field(
        True, description="Answer with the CUDA decoder on GPUs that support it; otherwise with the standard decoder."
    )
    example: bool = Field(True, description="Install the example run at the first start.")
    hosts: str = Field("", description="Host names of the proxy, separated by commas.")

    @property
    def behind_proxy(self) -> bool:
        """Return whether the forwarding headers of requests are trusted."""
        return bool(self.root_path or self.hosts or on_space())

    @property
    def known_hosts(self) -> set[str]:
        """Return the host names (with a port, if any) that this server has besides its own address."""
        named = {name.strip() for name in f"{self.hosts},{os.environ.get('SPACE_HOST', '')}".split(",")}
        return {name for name in (*named, urlsplit(self.root_path or "").netloc) if name}

    @property
    def uploads_dir(self) -> Path:
        """Return the folder of Gradio's uploads; files for download lie in `exports_dir`."""
        return Path(os.environ.get("GRADIO_TEMP_DIR") or self.home / "uploads")

    @property
    def datasets_dir(self) -> Path:
        """Return the folder of opened datasets."""
        return self.home / "datasets"

    @property
    def subsets_dir(self) -> Path:
        """Return the folder of subsets."""
        return self.home / "subsets"

    @property
    def folders_dir(self) -> Path:
        """Return the folder from which the page may open folders written by `datasets.save_to_disk`."""
        return self.home / "folders"

    @property
    def runs_dir(self) -> Path:
        """Return the folder of runs."""
        return self.home / "runs"

    @property
    def evaluations_dir(self) -> Path:
        """Return the folder of evaluations."""
        return self.home / "evaluations"

    @property
    def exports_dir(self) -> Path:
        """Return the folder of files made for download."""
        return self.home / "exports"

    @property
    def adapters_dir(self) -> Path:
        """Return the folder of adapters that were made elsewhere."""
        return self.home / "adapters"

    @property
    def trials_dir(self) -> Path:
        """Return the folder of the results of trying foreign models."""
        return self.home / "trials"

    @property
    def harness_dir(self) -> Path:
        """Return the folder whose subfolders hold tasks of lm-evaluation-harness."""
        return self.home / "harness"

    @property
    def models_dir(self) -> Path:
        """Return the folder of local models."""
        return self.models or self.home / "models"

    def prepare(self) -> "Settings":
        """Create the folders of STUDIO_HOME, and return the settings.

        Raises:
            StudioError: A folder cannot be created.
        """
        for folder in (
            self.datasets_dir,
            self.folders_dir,
            self.subsets_dir,
            self.runs_dir,
            self.evaluations_dir,
            self.exports_dir,
            self.harness_dir,
            self.adapters_dir,
            self.models_dir,
        ):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StudioError(
                    f"The folder {folder} cannot be created ({error.strerror}). "
                    "Set STUDIO_HOME to a folder you may write to, and start again."
                ) from error
        return self


# Characters of a name that is made from a text.
MAX_SLUG = 60
# A plain name: one path component that has no special meaning to a shell, an option parser or a file system.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_plain_name(name: str) -> bool:
    """Return whether a name is one harmless path component, so that `inside` accepts it."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def inside(root: Path, name: str, what: str = "name", links: bool = False) -> Path:
    """Return the path of `name` directly below `root`. Every name from outside becomes a path here.

    Args:
        root: The folder.
        name: The name, not trusted.
        what: What the name stands for, for messages.
        links: Whether a symbolic link may lead out of `root`.

    Raises:
        StudioError: `name` is not a plain name, or is a link out of `root` without `links`.
    """
    if not isinstance(name, str) or not is_plain_name(name):
        article = "an" if what[0] in "aeiou" else "a"
        raise StudioError(
            f"{str(name)[:80]!r} cannot be used as {article} {what}. "
            "Use 1 to 100 letters, digits, '.', '_' and '-', starting with a letter or digit, without '..'."
        )
    path = root / name
    if not links and not path.resolve().is_relative_to(root.resolve()):
        raise StudioError(f"The {what} {name!r} is a link out of {root.name}. Move the folder itself there.")
    return path


def slug(text: str, fallback: str = "data") -> str:
    """Return a plain name, accepted by `inside`, made from any text."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return re.sub(r"\.{2,}", ".", name)[:MAX_SLUG] or fallback


@dataclass(frozen=True)
class Hardware:
    """Device for training and chat, "cuda" or "cpu", and its description for the page."""

    device: str
    description: str


@cache
def hardware() -> Hardware:
    """Return this machine's device, without importing torch, which takes longer than the start of the app."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = f"CPU, {cores} core{'s' * (cores != 1)}, {memory:.0f} GiB memory"
    devices = sorted(Path("/dev").glob("nvidia[0-9]*"))
    if not devices or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return Hardware("cpu", f"{cpu}; no NVIDIA GPU found")
    names = [
        line.partition(":")[2].strip()
        for info in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in info.read_text().splitlines()
        if line.startswith("Model:")
    ]
    unnamed = f"{len(devices)} NVIDIA GPU{'s' * (len(devices) != 1)}"
    return Hardware("cuda", f"{', '.join(names) or unnamed}; {cpu}")
