"""Download of a repository's files into huggingface_hub's cache, with its progress as a text, until it is cancelled.

huggingface_hub downloads in threads of its own; the calling thread waits, reports once per second, and looks whether
the download was cancelled, also while no data arrives. huggingface_hub resumes a lost connection up to five times.
Files that are complete stay in the cache; of the others it keeps nothing when it gives up or is cancelled.
"""

import contextlib
import io
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.access.free_disk import check_free_disk
from core.access.quotas import Quotas
from core.errors import StudioError, reason_of
from core.hub import client
from core.system.sizes import format_size

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

_REPORT_SECONDS = 1.0
# huggingface_hub counts blocks of 10 MB, so a slow network brings no news for a while. The speed is that of these
# seconds: an average since the start would hide that a network has become slow.
_SPEED_SECONDS = 30.0
_STALLED_SECONDS = 30.0
_ABANDONED_SECONDS = 3600
# The next step where the disk of the cache is full.
CACHE_ADVICE = "Delete files there, or set HF_HOME to a folder on a larger disk and restart the studio."


class DownloadCancelled(Exception):
    """A download was cancelled; the caller reports it to the user."""


@dataclass
class Transfer:
    """Bytes of a download as they arrive.

    Attributes:
        name: Name of what is downloaded.
        total: Size of all files.
        cached: Size of the files that were in the cache before.
        counts: Bytes that have arrived since, by progress bar; huggingface_hub's threads write them.
        is_cancelled: Set to end these threads.
    """

    name: str
    total: int
    cached: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    _history: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def received(self) -> int:
        """Return the bytes that have arrived: the count of the progress bar that is furthest ahead."""
        return max([*self.counts.values()], default=0)

    def describe(self, now: float) -> str:
        """Return the progress as a text, and remember it to compute the speed.

        The text before the first comma is the same each time, by which `core.runs.progress` knows the stage.

        Args:
            now: Time by the monotonic clock.
        """
        done = self.cached + self.received
        if not self._history or self._history[-1][1] != done:
            self._history.append((now, done))
        while len(self._history) > 2 and now - self._history[1][0] >= _SPEED_SECONDS:
            self._history.popleft()
        text = f"Downloading {self.name}, {format_size(done)} of {format_size(self.total)}"
        silent = now - self._history[-1][0]
        if silent >= _STALLED_SECONDS:
            return f"{text}, waiting for more data for {silent:.0f} s"
        since, before = self._history[0]
        speed = (done - before) / (now - since) if now > since else 0.0
        if speed <= 0:
            return text
        return f"{text}, {format_size(speed)} per second, about {_rounded((self.total - done) / speed)} left"


def download(
    what: str,
    name: str,
    files: "list[DryRunFileInfo]",
    revision: str | None,
    report: Callable[[str], None],
    is_cancelled: Callable[[], bool],
) -> None:
    """Download the files that are not in the cache yet.

    Args:
        what: Kind of the repository for messages ("model").
        name: Its id.
        files: The files, as a dry run of `snapshot_download` lists them.
        revision: Branch, tag or commit; None for the main branch.
        report: Called with a text about once per second, by the calling thread.
        is_cancelled: Whether to stop.

    Raises:
        DownloadCancelled: `is_cancelled` returned true.
        StudioError: The disk is too small, or the connection was lost.
    """
    total, missing = (sum(one.file_size for one in some) for some in (files, [f for f in files if f.will_download]))
    if not missing:
        return
    _check_disk(name, missing)
    transfer = Transfer(name, total, total - missing)
    # The pool is not waited for: after a cancel its thread may wait for the network, and ends by itself later.
    pool = ThreadPoolExecutor(1, thread_name_prefix="studio-download")
    try:
        future = pool.submit(_snapshot, name, [one.filename for one in files], revision, transfer)
        while not wait([future], 0).done:
            if is_cancelled():
                transfer.is_cancelled.set()
                raise DownloadCancelled(name)
            report(transfer.describe(time.monotonic()))
            wait([future], _REPORT_SECONDS)
        _raise_explained(future.exception(), what, transfer)
    finally:
        pool.shutdown(wait=False)


def _snapshot(name: str, files: list[str], revision: str | None, transfer: Transfer) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(name, revision=revision, allow_patterns=files, tqdm_class=_make_bar_class(transfer))


def silent_bars(name: str) -> type[Any]:
    """Return a class of progress bars that show nothing, for calls of huggingface_hub that take a moment."""
    return _make_bar_class(Transfer(name, 0))


def _make_bar_class(transfer: Transfer) -> type[Any]:
    """Return a class of progress bars that show nothing and count the bytes of a transfer.

    snapshot_download makes one bar for the bytes from the network and one for the bytes of the files, which differ for
    the Hub's Xet storage, and one for the number of files.
    """
    from tqdm import tqdm

    class CountingBar(tqdm):
        """Progress bar of snapshot_download that writes to a transfer."""

        # Its thread would redraw bars that stand still.
        monitor_interval = 0

        def __init__(self, *arguments: Any, **options: Any):
            super().__init__(*arguments, **{**options, "file": io.StringIO(), "leave": False})

        def display(self, *_: Any, **__: Any) -> None:
            """Show nothing."""

        def update(self, n: float | None = 1) -> None:
            if transfer.is_cancelled.is_set():
                raise DownloadCancelled(transfer.name)
            super().update(n)
            if self.unit == "B":
                transfer.counts[id(self)] = int(self.n)

    # tqdm's default lock also works between processes, which takes a semaphore; here only threads share it.
    CountingBar.set_lock(threading.RLock())
    return CountingBar


def _raise_explained(error: Any, what: str, transfer: Transfer) -> None:
    if error is None:
        return
    is_connection = client.is_connection(error)
    if transfer.received and (is_connection or isinstance(error, OSError)):
        reason = "the connection to the Hub was lost" if is_connection else reason_of(error)
        raise StudioError(
            f"The download of {transfer.name} broke off after {format_size(transfer.cached + transfer.received)} of "
            f"{format_size(transfer.total)}: {reason}. Check the network and the disk, then try again; files that are "
            "complete are kept."
        ) from error
    with client.explained(what, transfer.name):
        raise error


def _remove_abandoned(name: str) -> None:
    """Remove partial files of killed processes: each download writes one of its own, which no other continues."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for path in Path(HF_HUB_CACHE).glob(f"models--{name.replace('/', '--')}/blobs/*.incomplete"):
        # Another process may be downloading now, or end and remove its file at this moment.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def _check_disk(name: str, missing: int) -> None:
    _remove_abandoned(name)
    from huggingface_hub.constants import HF_HUB_CACHE

    check_free_disk(Path(HF_HUB_CACHE).absolute(), Quotas().free_gib, missing, name, CACHE_ADVICE)


def _rounded(seconds: float) -> str:
    """Return a time without false precision."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5)):.0f} s"
    return f"{max(1, round(seconds / 60)):,} min"
