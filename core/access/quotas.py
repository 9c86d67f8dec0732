"""How much of a shared machine is given away: one model of limits, and the count of what visitors used today."""

import shutil
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.access import roles
from core.errors import StudioError
from core.settings import Settings
from core.system.files import read_json, write_json
from core.system.process_limits import Limits

GIB = 2**30


class Quotas(BaseSettings):
    """Limits, each from an environment variable of the same name with STUDIO_QUOTA_ before it. 0 closes."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_QUOTA_", env_ignore_empty=True)

    upload_mib: int = Field(1024, ge=0, title="One upload", description="Most MiB of one uploaded file.")
    uploads: int = Field(500, ge=0, title="Uploads", description="Most uploaded files that are kept at a time.")
    uploads_gib: float = Field(20, ge=0, title="All uploads", description="Most GiB of all uploaded files together.")
    runs: int = Field(500, ge=0, title="Runs", description="Most runs on disk; another is refused.")
    waiting_runs: int = Field(20, ge=0, title="Waiting runs", description="Most runs that wait in the queue.")
    run_hours: float = Field(168, ge=0, title="Time of a run", description="Most hours; then it is asked to stop.")
    free_gib: float = Field(1, ge=0, title="Free disk", description="GiB that uploads and runs leave free.")
    parse_gib: float = Field(6, gt=0, title="Memory of reading", description="Most GiB that reading a file may take.")
    parse_seconds: int = Field(1800, gt=0, title="Time of reading", description="Most CPU seconds for one file.")
    parse_disk_gib: float = Field(20, gt=0, title="Size of a read file", description="Most GiB a file may unfold to.")
    visitor_tokens: int = Field(20_000, ge=0, title="A visitor's tokens", description="Most in a day, with prompts.")
    visitors_tokens: int = Field(
        500_000, ge=0, title="All visitors' tokens", description="Most in a day for all visitors together."
    )
    visitor_answer: int = Field(256, ge=1, title="A visitor's answer", description="Most new tokens of one answer.")
    visitors_waiting: int = Field(60, ge=1, title="Visitors waiting", description="Most questions at a time.")
    visitor_chats: int = Field(2000, ge=1, title="Visitors' chats", description="Most kept; the oldest go first.")

    def parse_limits(self) -> Limits:
        """Return the limits of a process that reads an uploaded file."""
        return Limits(int(self.parse_gib * GIB), self.parse_seconds, int(self.parse_disk_gib * GIB))


def free_disk(settings: Settings, quotas: Quotas) -> None:
    """Raises StudioError when less than the quota is free."""
    free = shutil.disk_usage(settings.home).free / GIB
    if free < quotas.free_gib:
        raise StudioError(
            f"The disk of STUDIO_HOME has {free:.1f} GiB free; {quotas.free_gib:g} GiB are left alone. "
            "Remove old runs, checkpoints or caches first (the owner's page has a clean-up)."
        )


def size_of(folder: Path) -> tuple[int, int]:
    """Bytes of the files below a folder, and how many they are."""
    sizes = [path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink() and path.is_file()]
    return sum(sizes), len(sizes)


def room_for_upload(settings: Settings, quotas: Quotas, folder: Path, size: int | None) -> None:
    """Whether a file may still be uploaded.

    Args:
        folder: where uploads lie; size: in bytes, None where it was not said.

    Raises StudioError when a quota would be passed.
    """
    if size is None:
        raise StudioError("The size of the upload was not said (Content-Length). Expected it, to keep to the quota.")
    if size > quotas.upload_mib * 2**20 + 2**16:  # what stands around the file in the request
        raise StudioError(f"The upload has {size / 2**20:,.0f} MiB, and {quotas.upload_mib:,} MiB are allowed.")
    held, count = size_of(folder) if folder.is_dir() else (0, 0)
    if count >= quotas.uploads:
        raise StudioError(f"{count:,} uploads are kept, and {quotas.uploads:,} are allowed. Clean up caches first.")
    if held + size > quotas.uploads_gib * GIB:
        raise StudioError(f"Uploads would take more than {quotas.uploads_gib:g} GiB. Clean up caches first.")
    free_disk(settings, quotas)


class Tokens:
    """What visitors used today, for each and for all. Kept in visitors.json, so that a restart forgets nothing."""

    def __init__(self, settings: Settings, quotas: Quotas):
        self.quotas, self._file = quotas, settings.home / "visitors.json"
        self._lock = threading.Lock()
        self._day, self._used, self._asking, self._written = "", defaultdict(int), defaultdict(int), 0.0

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
        except (OSError, ValueError, KeyError, TypeError):
            return  # none yet, or damaged: counted anew

    def used(self) -> dict[str, int]:
        """Tokens by visitor, today."""
        with self._lock:
            self._today()
            return dict(self._used)

    def left(self, name: str) -> int:
        """Tokens that a visitor may still use today, while all visitors together may."""
        used = self.used()
        left_for_all = self.quotas.visitors_tokens - sum(used.values())
        return max(0, min(self.quotas.visitor_tokens - used.get(name, 0), left_for_all))

    def reserve(self, name: str, tokens: int) -> None:
        """Set so many aside for a question, before it is asked. Raises StudioError when that is too much."""
        with self._lock:
            self._today()
            left = self.quotas.visitor_tokens - self._used[name]
            left_for_all = self.quotas.visitors_tokens - sum(self._used.values())
            if self._asking[name] and name:
                raise StudioError("Your last question is still being answered. Stop it, or wait for its end.")
            if sum(self._asking.values()) >= self.quotas.visitors_waiting:
                raise StudioError("Too many visitors ask at the moment. Try again in a minute.")
            if tokens > left:
                raise StudioError(_too_much(tokens, max(0, left), self.quotas.visitor_tokens))
            if tokens > left_for_all:
                raise StudioError("Today's tokens for visitors are used up. Come back tomorrow (UTC).")
            self._asking[name] += 1
            self._add(name, tokens)

    def settle(self, name: str, reserved: int, used: int) -> None:
        """A question has ended: what was set aside for it and not used is given back."""
        with self._lock:
            self._today()
            self._asking[name] = max(0, self._asking[name] - 1)
            self._add(name, min(used, reserved) - reserved)

    def _add(self, name: str, tokens: int) -> None:
        self._used[name] = max(0, self._used[name] + tokens)
        if time.monotonic() - self._written > 1 or not self._file.exists():
            self._written = time.monotonic()
            write_json(self._file, {"day": self._day, "used": dict(self._used)})


def _too_much(tokens: int, left: int, most: int) -> str:
    if not left:
        return f"Today's tokens are used up: 0 of a visitor's {most:,} are left to you. Come back tomorrow (UTC)."
    later = " Or come back tomorrow (UTC)." if tokens <= most else ""
    return (
        f"This may take {tokens:,} tokens, prompt and answers, and {left:,} of a visitor's {most:,} a day are left to "
        f"you. Shorten the question or the answer's length, take fewer lanes, or start a new chat.{later}"
    )


def room_for_run(settings: Settings, quotas: Quotas, runs: int, waiting: int) -> None:
    """Raises StudioError when another run would pass a quota, or the caller may start none."""
    roles.owner_only("Starting a run")
    if runs >= quotas.runs:
        raise StudioError(f"{runs:,} runs are kept, and {quotas.runs:,} are allowed. Delete some first.")
    if waiting >= quotas.waiting_runs:
        raise StudioError(f"{waiting:,} runs wait already, and {quotas.waiting_runs:,} may. Let them end first.")
    free_disk(settings, quotas)
