"""Where things live, what hardware is here, and the one function that decides which paths may be touched.

Settings come from the environment (STUDIO_HOME, STUDIO_MODELS, …), never from the page.
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

SPACE_DISK = Path("/data")  # what a Hugging Face Space mounts when it has persistent storage


def on_space() -> bool:
    return bool(os.environ.get("SPACE_ID"))


def _default_home() -> Path:
    if on_space() and os.access(SPACE_DISK, os.W_OK):
        return SPACE_DISK / "studio"
    return Path.home() / ".qlora-studio"


class Settings(BaseSettings):
    """The studio's settings, each from an environment variable of the same name with STUDIO_ before it."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_", env_ignore_empty=True)

    home: Path = Field(default_factory=_default_home, description="Data sets, subsets, runs and models live below it.")
    models: Path | None = Field(None, description="Folder whose sub-folders are offered as local models.")
    embedded: Path | None = Field(None, description="The embedded model, converted already, as an image carries it.")
    password: SecretStr | None = Field(None, description="Asked of every browser; needed to listen beyond loopback.")
    root_path: str | None = Field(None, description="The path, or the whole URL, that a proxy serves the studio under.")
    fast_chat: bool = Field(True, description="Decode with graphs and kernels of our own where a GPU can.")
    hosts: str = Field("", description="Names that a proxy is reached by, with commas between.")

    @property
    def behind_proxy(self) -> bool:
        """Whether what a proxy says of a request is believed."""
        return bool(self.root_path or self.hosts or on_space())

    @property
    def known_hosts(self) -> set[str]:
        """Names, with a port where there is one, that this server is reached by beside its own address."""
        named = {name.strip() for name in f"{self.hosts},{os.environ.get('SPACE_HOST', '')}".split(",")}
        return {name for name in (*named, urlsplit(self.root_path or "").netloc) if name}

    @property
    def uploads_dir(self) -> Path:
        """Where Gradio keeps what was uploaded, and copies of what it serves."""
        return Path(os.environ.get("GRADIO_TEMP_DIR") or self.home / "uploads")

    @property
    def datasets_dir(self) -> Path:
        return self.home / "datasets"

    @property
    def subsets_dir(self) -> Path:
        return self.home / "subsets"

    @property
    def folders_dir(self) -> Path:
        """Where folders saved with `datasets` are put to be opened by the page."""
        return self.home / "folders"

    @property
    def runs_dir(self) -> Path:
        return self.home / "runs"

    @property
    def evaluations_dir(self) -> Path:
        """Whole prompt sets and their answers."""
        return self.home / "evaluations"

    @property
    def exports_dir(self) -> Path:
        return self.home / "exports"

    @property
    def models_dir(self) -> Path:
        return self.models or self.home / "models"

    def prepare(self) -> "Settings":
        """Make the folders, or say why they cannot be made."""
        for folder in (
            self.datasets_dir,
            self.folders_dir,
            self.subsets_dir,
            self.runs_dir,
            self.evaluations_dir,
            self.exports_dir,
            self.models_dir,
        ):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StudioError(
                    f"The folder {folder} cannot be made ({error.strerror}). "
                    "Set STUDIO_HOME to a folder you may write to, and start again."
                ) from error
        return self


# A name is one path component that no shell, option parser or file system reads as anything else.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_plain_name(name: str) -> bool:
    """Return whether `inside` accepts `name`."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def inside(root: Path, name: str, what: str = "name", links: bool = False) -> Path:
    """The path of `name` directly below `root`: the only way a name from outside becomes a path.

    Raises StudioError when `name` is anything but a plain name, or when a link leads out of `root` without `links`.
    """
    if not isinstance(name, str) or not is_plain_name(name):
        raise StudioError(
            f"{str(name)[:80]!r} cannot be used as a {what}. "
            "Use 1 to 100 letters, digits, '.', '_' and '-', starting with a letter or digit."
        )
    path = root / name
    if not links and not path.resolve().is_relative_to(root.resolve()):
        raise StudioError(
            f"The {what} {name!r} leads out of {root.name}. Move the folder itself there instead of a link."
        )
    return path


def slug(text: str, fallback: str = "data") -> str:
    """A plain name made from any text, fit for `inside`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return re.sub(r"\.{2,}", ".", name)[:60] or fallback


@dataclass(frozen=True)
class Hardware:
    """What the studio found to train and chat on, in words for the page."""

    device: str  # "cuda" or "cpu"
    description: str


@cache
def hardware() -> Hardware:
    """The accelerator here, without importing torch: the app must be up before torch could be."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = f"CPU, {cores} cores, {memory:.0f} GiB memory"
    cards = sorted(Path("/dev").glob("nvidia[0-9]*"))
    if not cards or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return Hardware("cpu", f"{cpu}; no NVIDIA GPU found")
    names = [
        line.partition(":")[2].strip()
        for info in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in info.read_text().splitlines()
        if line.startswith("Model:")
    ]
    return Hardware("cuda", f"{', '.join(names) or f'{len(cards)} NVIDIA GPU(s)'}; {cpu}")
