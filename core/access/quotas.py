"""Quotas of a shared machine: limits from the environment, and the tokens that visitors used today.

Uploads, runs and visitors' questions are checked before anything is stored or computed. Token counts are kept per UTC
day in visitors.json, which is written with a question at most once per second, and when the server ends. A crash loses
the counts that were added within a second after the last write.
"""

import contextlib
import stat
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.access import roles
from core.access.free_disk import GIB, check_free_disk
from core.errors import StudioError
from core.settings import Settings
from core.system.counting import counted
from core.system.files import log_unreadable, read_json, write_json
from core.system.process_limits import Limits
from core.system.sizes import format_size

# Seconds after which a file of an upload that is not written to has broken off.
_BROKEN_SECONDS = 600.0


class Quotas(BaseSettings):
    """Limits, each read from the environment variable STUDIO_QUOTA_<NAME>.

    Where a field may be 0, this forbids everything that the field limits; only a `free_gib` of 0 forbids nothing.
    """

    model_config = SettingsConfigDict(env_prefix="STUDIO_QUOTA_", env_ignore_empty=True)

    upload_mib: int = Field(1024, ge=0, title="One upload", description="Maximum MiB of one uploaded file.")
    uploads: int = Field(500, ge=0, title="Uploads", description="Maximum number of uploaded files.")
    uploads_gib: float = Field(20, ge=0, title="All uploads", description="Maximum GiB of all uploaded files together.")
    runs: int = Field(500, ge=0, title="Runs", description="Maximum number of runs on disk.")
    waiting_runs: int = Field(20, ge=0, title="Waiting runs", description="Maximum number of queued runs.")
    run_hours: float = Field(168, ge=0, title="Time of a run", description="Maximum hours; then the run is stopped.")
    free_gib: float = Field(1, ge=0, title="Free disk", description="GiB that files and runs must leave free.")
    parse_gib: float = Field(6, gt=0, title="Memory of reading", description="Maximum GiB for reading a file.")
    parse_seconds: int = Field(1800, gt=0, title="Time of reading", description="Maximum CPU seconds for one file.")
    parse_disk_gib: float = Field(
        20, gt=0, title="Unpacked size of a file", description="Maximum GiB that a file may unpack to."
    )
    visitor_tokens: int = Field(
        20_000, ge=0, title="A visitor's tokens", description="Maximum per day, prompts included."
    )
    visitors_tokens: int = Field(
        500_000, ge=0, title="All visitors' tokens", description="Maximum per day for all visitors together."
    )
    visitor_answer: int = Field(256, ge=1, title="A visitor's answer", description="Maximum new tokens per answer.")
    visitors_waiting: int = Field(
        60, ge=1, title="Visitors waiting", description="Maximum questions in progress at a time."
    )
    visitor_chats: int = Field(
        2000,
        ge=1,
        title="Visitors' chats",
        description="Maximum number of chats; those of the visitors with the most are deleted, the oldest first.",
    )

    def parse_limits(self) -> Limits:
        """Return the limits of a process that reads an uploaded file."""
        return Limits(int(self.parse_gib * GIB), self.parse_seconds, int(self.parse_disk_gib * GIB))


def size_of(folder: Path) -> tuple[int, int]:
    """Return the total bytes and the number of the files below a folder; links are not followed."""
    sizes = []
    for path in folder.rglob("*"):
        # A file may be deleted at any moment.
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            sizes += [found.st_size] if stat.S_ISREG(found.st_mode) else []
    return sum(sizes), len(sizes)


def remove_broken_uploads(folder: Path) -> None:
    """Remove the parts of uploads that broke off, which would count against the quota for good.

    Args:
        folder: Folder of the uploads. A complete one is in a folder of its own, and one that arrives is written to.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        # Another call may remove it.
        with contextlib.suppress(FileNotFoundError):
            about = path.lstat()
            if stat.S_ISREG(about.st_mode) and time.time() - about.st_mtime > _BROKEN_SECONDS:
                path.unlink()


def check_upload_quota(settings: Settings, quotas: Quotas, folder: Path, size: int | None) -> None:
    """Check that a file may be uploaded.

    Args:
        settings: The settings.
        quotas: The quotas.
        folder: Folder of the uploads, which holds nothing else.
        size: Size of the request in bytes; None if the request does not state it.

    Raises:
        StudioError: A quota would be exceeded.
    """
    if size is None:
        raise StudioError(
            "The upload has no Content-Length header, which the upload quota needs. Use a browser, or a client that "
            "sends it."
        )
    # A multipart request is a little larger than its file.
    if size > quotas.upload_mib * 2**20 + 2**16:
        raise StudioError(
            f"The upload is {format_size(size)}; at most {quotas.upload_mib:,} MiB are allowed. Upload a smaller or a "
            "compressed file."
        )
    remove_broken_uploads(folder)
    held, count = size_of(folder) if folder.is_dir() else (0, 0)
    if count >= quotas.uploads:
        stored = counted(count, "upload is", "uploads are")
        raise StudioError(f"{stored} stored, and the limit is {quotas.uploads:,}. Remove uploads first.")
    if held + size > quotas.uploads_gib * GIB:
        raise StudioError(f"Uploads would take more than {quotas.uploads_gib:g} GiB. Remove uploads first.")
    check_free_disk(settings.home, quotas.free_gib, size, "The upload")


class Tokens:
    """Tokens that each visitor used today, stored in visitors.json for the next start.

    A question first reserves the most that it may use, and gives the rest back when it ends. Otherwise, many questions
    asked at once could exceed the quota together.
    """

    def __init__(self, settings: Settings, quotas: Quotas):
        self.quotas, self._file = quotas, settings.home / "visitors.json"
        self._lock = threading.Lock()
        self._day, self._used, self._asking, self._written = "", defaultdict(int), defaultdict(int), 0.0
        self._is_saved = True

    def _today(self) -> None:
        day = datetime.now(UTC).date().isoformat()
        if self._day == day:
            return
        self._day = day
        self._used.clear()
        try:
            kept = read_json(self._file)
            if kept["day"] == day:
                self._used.update(kept["used"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Counting starts at 0, and the next question replaces the file.
            log_unreadable(self._file, f"{type(error).__name__}: {error}")

    def used(self) -> dict[str, int]:
        """Return today's tokens by visitor."""
        with self._lock:
            self._today()
            return dict(self._used)

    def left(self, name: str) -> int:
        """Return the tokens that a visitor may still use today, by their own quota and that of all visitors."""
        used = self.used()
        left_for_all = self.quotas.visitors_tokens - sum(used.values())
        return max(0, min(self.quotas.visitor_tokens - used.get(name, 0), left_for_all))

    def reserve(self, name: str, tokens: int) -> None:
        """Reserve the tokens of a question before it is asked.

        Args:
            name: The visitor.
            tokens: The most that the question may use, prompt and answers.

        Raises:
            StudioError: The visitor or all visitors have too few left, or too many questions are in progress.
        """
        with self._lock:
            self._today()
            # Names come from cookies: one that is refused must leave nothing behind.
            left = self.quotas.visitor_tokens - self._used.get(name, 0)
            left_for_all = self.quotas.visitors_tokens - sum(self._used.values())
            # Callers without a cookie count as one visitor.
            if self._asking.get(name):
                raise StudioError("Your last question is still being answered. Stop it, or wait until it ends.")
            if sum(self._asking.values()) >= self.quotas.visitors_waiting:
                raise StudioError("Too many visitors are asking at the moment. Try again in a minute.")
            if tokens > left:
                raise StudioError(_describe_excess(tokens, max(0, left), self.quotas.visitor_tokens))
            if tokens > left_for_all:
                raise StudioError("Today's tokens for visitors are used up. Come back tomorrow (UTC).")
            self._asking[name] += 1
            self._add(name, tokens)

    def settle(self, name: str, reserved: int, used: int) -> None:
        """Give back the unused part of a reservation, because its question has ended."""
        with self._lock:
            self._today()
            self._asking[name] -= 1
            if self._asking[name] <= 0:
                del self._asking[name]
            self._add(name, min(used, reserved) - reserved)

    def _add(self, name: str, tokens: int) -> None:
        self._used[name] += tokens
        # A name without tokens is not kept: visitors can invent any number of names.
        if self._used[name] <= 0:
            del self._used[name]
        self._is_saved = False
        if time.monotonic() - self._written > 1 or not self._file.exists():
            self._write()

    def save(self) -> None:
        """Write counts that are not in the file yet, because the process ends."""
        with self._lock:
            if not self._is_saved:
                self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        write_json(self._file, {"day": self._day, "used": dict(self._used)})
        self._is_saved = True


def _describe_excess(tokens: int, left: int, quota: int) -> str:
    if not left:
        return f"Today's tokens are used up: 0 of a visitor's {quota:,} are left to you. Come back tomorrow (UTC)."
    later = " Or come back tomorrow (UTC)." if tokens <= quota else ""
    return (
        f"This may take {tokens:,} tokens, prompt and answers, and {left:,} of a visitor's {quota:,} per day are left "
        f"to you. Shorten the question or the answer's length, use fewer lanes, or start a new chat.{later}"
    )


def check_run_quota(settings: Settings, quotas: Quotas, runs: int, waiting: int) -> None:
    """Check that the caller may start another run.

    Args:
        settings: The settings.
        quotas: The quotas.
        runs: Number of runs on disk.
        waiting: Number of queued runs.

    Raises:
        StudioError: The caller is a visitor, or a quota would be exceeded.
    """
    roles.owner_only("start a run")
    if runs >= quotas.runs:
        raise StudioError(
            f"{counted(runs, 'run is', 'runs are')} stored, and the limit is {quotas.runs:,}. Delete some first."
        )
    if waiting >= quotas.waiting_runs:
        already = counted(waiting, "run already waits", "runs already wait")
        raise StudioError(f"{already}, and {quotas.waiting_runs:,} is the limit. Wait for one to start.")
    check_free_disk(settings.home, quotas.free_gib)
