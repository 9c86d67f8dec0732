"""Exported files of a run's adapters in exports/, and those among them that are models in GGUF.

    exports/TITLE-MARK-ADAPTER-TYPE.gguf        MARK: six digits made of the run's id; ADAPTER: final or step-N

A file is found by the mark, because the title may have changed since. A GGUF file of a merged model can answer in Chat
with its own weights (`core.chat.exported_model`). Only the owner sees the files.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.access import roles
from core.errors import StudioError
from core.runs.names import file_stem
from core.runs.store import Run
from core.settings import Settings, inside
from core.system.files import modified_ns

GGUF = ".gguf"
SUFFIXES = (".zip", GGUF)
# Ends the name of the ZIP with the card of a GGUF file, which is made when it is downloaded.
CARD_ZIP = "-card.zip"
# Name behind the mark. An adapter as GGUF has "adapter" in place of the type.
_ADAPTER = re.compile(r"(final|step-\d+)\b.*")
_MODEL = re.compile(
    r".*(?P<mark>-[0-9a-f]{6}-)(?P<adapter>final|step-\d+)-(?P<kind>[A-Z][A-Z0-9_]*)(-[a-z][\w.-]*)?\.gguf"
)


@dataclass(frozen=True)
class ExportedModel:
    """A GGUF file of a merged model.

    Attributes:
        path: The file.
        run: Id of the run.
        adapter: The adapter that is merged: "final", or "step N".
        kind: The GGUF type, such as "Q8_0".
        changed: Time of its last change in nanoseconds; another export of the same name has another one.
    """

    path: Path
    run: str
    adapter: str
    kind: str
    changed: int

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return self.path.name

    @property
    def key(self) -> str:
        """Return the key of a lane that the file answers, "RUN/FILE"."""
        return f"{self.run}/{self.name}"

    def label(self, title: str) -> str:
        """Return the name for lists.

        Args:
            title: Title of the run.
        """
        return f"GGUF {self.kind} · {title} · {self.name}"


def is_exported(adapter: str) -> bool:
    """Return whether the adapter of a lane names an exported file, such as "…-final-Q8_0.gguf"."""
    return adapter.endswith(GGUF)


def list_exports(settings: Settings, run: Run) -> list[Path]:
    """Return the finished exports of a run's adapters, the newest first.

    Args:
        settings: The studio's settings.
        run: The run.
    """
    mark = _mark(run)
    found = [path for path in settings.exports_dir.glob(f"*{mark}*") if path.suffix in SUFFIXES and path.is_file()]
    # Beside the exports of adapters lie the report of the run, and the cards of GGUF files.
    models = [
        path
        for path in found
        if path.name[0] != "." and not path.name.endswith(CARD_ZIP) and _ADAPTER.fullmatch(path.stem.partition(mark)[2])
    ]
    return sorted(models, key=modified_ns, reverse=True)


def list_models(settings: Settings, runs: Sequence[Run]) -> list[ExportedModel]:
    """Return the GGUF files of merged models of some runs, the newest first; none for a visitor."""
    if not roles.caller().is_owner:
        return []
    by_mark = {_mark(run): run.id for run in runs}
    found = [
        ExportedModel(
            path, by_mark[match["mark"]], match["adapter"].replace("-", " "), match["kind"], modified_ns(path)
        )
        for path in settings.exports_dir.glob(f"[!.]*{GGUF}")
        if (match := _MODEL.fullmatch(path.name)) and match["mark"] in by_mark and _is_own(path)
    ]
    return sorted(found, key=lambda model: model.changed, reverse=True)


def find_model(settings: Settings, run: Run, name: str) -> ExportedModel:
    """Return a GGUF file of a run's merged model.

    Raises:
        StudioError: The caller is a visitor, or the run has no such file.
    """
    if not roles.caller().is_owner:
        raise StudioError("Only the owner can ask exported files. Choose the base model or a run.")
    path = inside(settings.exports_dir, name, "name of a file")
    known = list_models(settings, [run])
    if found := next((model for model in known if model.path == path), None):
        return found
    names = ", ".join(model.name for model in known) or "none now"
    raise StudioError(
        f"There is no GGUF file {name!r} of the run {run.title} in exports/: it was deleted, or is of another run. "
        f"Export it again, or choose another. There are: {names}."
    )


def _mark(run: Run) -> str:
    """Return the digits of a run in the names of its files, with a hyphen on either side."""
    return f"-{file_stem('', run.id).rpartition('-')[2]}-"


def _is_own(path: Path) -> bool:
    """Return whether a path is a file and no link, which could lead out of exports/."""
    return path.is_file() and not path.is_symlink()
