"""Shared base of run folders and evaluation folders, which worker processes fill and everything else reads.

    <root>/<id>/state.json    last written status, the worker's process, the cause; replaced by tmp + rename
    <root>/<id>/worker.log    the worker's own output
    <root>/<id>/control/      requests to the worker, an empty file each
    <root>/.lock              held while a folder changes hands: queued, started, stopped, deleted

A status is what state.json and the process table say together: an active status whose process is gone is
"interrupted". A folder counts as existing once it has a state.json, which is therefore written last.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from core.errors import StudioError, reason_of
from core.settings import Settings, inside
from core.system.files import modified_ns, read_json, write_json
from core.system.process_identity import identity

_LOG_TAIL_BYTES = 20_000


class WorkState(BaseModel):
    """state.json, as it was last written; `WorkFolder.state` returns what is true now.

    Attributes:
        cause: Why the work failed or stopped, for the user.
        created: Seconds since the epoch.
        ended: Seconds since the epoch; None before the end.
        pid: The worker's process id.
        process: The worker's unique name (`process_identity.identity`).
    """

    pid: int | None = None
    process: str | None = None
    status: str
    cause: str = ""
    created: float
    ended: float | None = None

    def with_process(self, pid: int) -> Self:
        """Return a copy that names the process of `pid` as the worker."""
        return self.model_copy(update={"pid": pid, "process": identity(pid)})

    def process_lives(self) -> bool:
        """Return whether the worker's process is alive; another program with its pid does not count."""
        return self.pid is not None and self.process is not None and identity(self.pid) == self.process


StateT = TypeVar("StateT", bound=WorkState)


class WorkFolder(Generic[StateT]):
    """One folder with a worker.

    Attributes:
        kind: What the folder is called in messages.
        state_type: Model of state.json.
        active: Statuses with a living worker.
        requested: The status that each request to the worker shows as; the first one that exists counts.
    """

    kind: ClassVar[str]
    state_type: type[StateT]
    active: ClassVar[tuple[str, ...]]
    requested: ClassVar[dict[str, str]]

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def id(self) -> str:
        """Return the name of the folder."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """Return the file of the worker's output."""
        return self.folder / "worker.log"

    def request(self, name: str) -> Path:
        """Return the file whose existence asks something of the worker."""
        return self.folder / "control" / name

    def send_request(self, name: str) -> None:
        """Ask the worker for something.

        Raises:
            StudioError: The worker has ended.
        """
        status = self.state().status
        if status not in self.active:
            raise StudioError(f"The {self.kind} {self.id} is {status}: there is nothing to {name}.")
        self.request(name).parent.mkdir(exist_ok=True)
        self.request(name).touch()

    def explain_unreadable(self, name: str, error: Exception) -> StudioError:
        """Return the error that says why a file of the folder cannot be read.

        Args:
            name: Name of the file.
            error: Raised by reading it.
        """
        if self.folder.exists():
            return StudioError(f"The {self.kind} {self.id} has no readable {name} ({reason_of(error)}).")
        return StudioError(f"The {self.kind} {self.id} was deleted meanwhile. Choose another one.")

    @contextmanager
    def notice_deletion(self, title: str, work: str) -> Iterator[None]:
        """Name the cause of any error of a piece of work in which the folder was deleted meanwhile.

        Args:
            title: Names the folder for the user; it cannot be read after the deletion.
            work: What is done with it, such as "exported".

        Raises:
            StudioError: The work failed, and the folder is gone.
        """
        try:
            yield
        except Exception as error:
            if self.folder.exists():
                raise
            raise StudioError(
                f"The {self.kind} {title} was deleted while it was {work}, so nothing was written. Choose another one."
            ) from error

    def saved_state(self) -> StateT:
        """Return state.json, or the status "unreadable" with the reason: one bad folder must not hide the others."""
        path = self.folder / "state.json"
        try:
            return self.state_type.model_validate(read_json(path))
        except (OSError, ValueError) as error:
            reason = "it has other fields than a state" if isinstance(error, ValidationError) else reason_of(error)
            cause = f"state.json of this {self.kind} cannot be read ({reason}). Its files are left as they are."
            return self.state_type(status="unreadable", cause=cause, created=modified_ns(path) / 1e9)

    def save_state(self, state: StateT) -> None:
        """Replace state.json."""
        write_json(self.folder / "state.json", state.model_dump())

    def state(self) -> StateT:
        """Return the state as it is now, by state.json, the process table and the requests."""
        state = self.saved_state()
        if state.status not in self.active:
            return state
        if not state.process_lives():
            # The worker may have written its last state and ended between the two checks, so the file is read again.
            state = self.saved_state()
            if state.status in self.active and not state.process_lives():
                cause = (
                    f"The {self.kind}'s process ended without reporting a result: it was killed, ran out of memory, or "
                    "the machine restarted. Resume it to continue."
                )
                return state.model_copy(update={"status": "interrupted", "cause": cause})
            return state
        for name, status in self.requested.items():
            if self.request(name).exists():
                return state.model_copy(update={"status": status})
        return state

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the worker's output."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - _LOG_TAIL_BYTES))
            return "\n".join(stream.read().decode("utf-8", "replace").splitlines()[-lines:])


FolderT = TypeVar("FolderT", bound=WorkFolder)


class WorkStore(Generic[FolderT]):
    """All folders of one kind in a STUDIO_HOME."""

    folder_type: type[FolderT]

    def __init__(self, settings: Settings):
        self.settings = settings

    @property
    def root(self) -> Path:
        """Return the folder that holds the folders."""
        raise NotImplementedError

    def lock(self) -> FileLock:
        """Return the lock to hold while a folder changes hands, shared by all pages, servers and command lines."""
        return FileLock(self.root / ".lock")

    def is_visible(self, folder: FolderT) -> bool:
        """Return whether the current caller may see a folder."""
        return True

    def folders(self) -> list[FolderT]:
        """Return the folders that the caller may see, newest first."""
        found = [self.folder_type(path.parent) for path in self.root.glob("[!.]*/state.json")]
        visible = [folder for folder in found if self.is_visible(folder)]
        return sorted(visible, key=lambda folder: folder.saved_state().created, reverse=True)

    def active(self) -> FolderT | None:
        """Return the newest folder whose worker is alive."""
        return next((f for f in self.folders() if f.state().status in self.folder_type.active), None)

    def fingerprint(self) -> str:
        """Return a text that changes with every folder and state; it reads no file, so pages can poll it."""
        return "\n".join(sorted(self._fingerprint(path) for path in self.root.glob("[!.]*/state.json")))

    def remove(self, folder: FolderT) -> None:
        """Delete an ended folder; the caller holds the lock.

        Raises:
            StudioError: The worker is alive, or a file cannot be deleted.
        """
        status = folder.state().status
        if status in self.folder_type.active:
            raise StudioError(f"The {folder.kind} {folder.id} is {status}. Stop it before it is deleted.")
        # Renamed first, so that it leaves every list at once and no list shows it half deleted.
        gone = folder.folder.with_name(f".deleted-{folder.id}")
        folder.folder.rename(gone)
        try:
            shutil.rmtree(gone)
        except OSError as error:
            raise StudioError(
                f"The {folder.kind} {folder.id} is out of the list, but not all of its files could be deleted "
                f"({error.strerror}). Delete the folder {gone}."
            ) from error

    def _fingerprint(self, state_file: Path) -> str:
        return f"{state_file.parent.name} {modified_ns(state_file)}"

    def _find(self, folder_id: Any) -> FolderT | None:
        path = inside(self.root, folder_id, f"{self.folder_type.kind} id")
        if (path / "state.json").is_file() and self.is_visible(folder := self.folder_type(path)):
            return folder
        return None

    def _new_folder(self, name: str) -> FolderT:
        """Create an empty folder whose id is the time, `name`, and a number if that is taken."""
        stamped = f"{datetime.now().strftime('%Y%m%d-%H%M%S')}-{name}"[:90]
        for attempt in range(1, 100):
            path = inside(self.root, stamped if attempt == 1 else f"{stamped}-{attempt}", f"{self.folder_type.kind} id")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return self.folder_type(path)
        raise StudioError(f"{stamped} exists already. Wait a second and try again.")
