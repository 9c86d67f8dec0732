"""Files of an upload to the Hub, which count their bytes as huggingface_hub reads them.

huggingface_hub sends a large file in one of two ways. By HTTP (LFS) it reads the file here, so the bytes that were read
are those that were sent; after a broken connection it begins the file again, and the count goes back. With the package
hf_xet, that package reads the file itself and reports what it has done, which deduplication may make more than was
sent. Either way, a file that the Hub has completely is not sent again.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub import CommitOperationAdd
from huggingface_hub.utils import _xet_progress_reporting as xet_reporting
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from huggingface_hub.utils._runtime import is_xet_available


@dataclass
class SentBytes:
    """Bytes of an upload as they leave.

    Attributes:
        total: Size of all files.
        report: Called with the bytes that are done.
        done: Bytes of the files that are complete.
        current: Bytes of the file that is being sent.
    """

    total: int
    report: Callable[[int], None]
    done: int = 0
    current: int = field(default=0)

    def set_current(self, count: int) -> None:
        """Record how many bytes of the current file have been sent."""
        self.current = count
        self.report(self.done + count)

    def complete(self, size: int) -> None:
        """Record that the current file is complete, whether or not its bytes had to be sent."""
        self.done, self.current = self.done + size, 0
        self.report(self.done)


class _CountedFile(BufferedReader):
    """An open file that reports how far it was read."""

    def __init__(self, path: str, sent: SentBytes):
        super().__init__(FileIO(path))
        self._sent = sent

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._sent.set_current(self.tell())
        return data


class CountedUpload(CommitOperationAdd):
    """A file of a commit that counts its bytes while it is sent."""

    sent: SentBytes

    @classmethod
    def of(cls, path: Path, name: str, sent: SentBytes) -> "CountedUpload":
        """Return the operation that adds a file.

        Args:
            path: The file.
            name: Its path in the repository.
            sent: Counts its bytes.
        """
        made = cls(path_in_repo=name, path_or_fileobj=path)
        made.sent = sent
        return made

    @contextlib.contextmanager
    def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
        """Open the file; `with_tqdm` is set when it is sent, and not when it is only looked at."""
        if not with_tqdm:
            with super().as_file() as file:
                yield file
            return
        with _CountedFile(str(self.path_or_fileobj), self.sent) as counted:
            yield counted


@contextlib.contextmanager
def counting(sent: SentBytes) -> Iterator[None]:
    """Within the with statement, report the progress to a counter and not as bars on standard error.

    huggingface_hub takes no callback for the progress of hf_xet. It looks its reporter up in the module when a file is
    sent, and only while bars are enabled, so the reporter is replaced there. By HTTP, the files themselves count
    (`CountedUpload`).
    """

    class Reporter:
        """Replacement of `XetUploadProgressReporter`."""

        def update_progress(self, group_report: Any, item_reports: Any) -> None:
            sent.set_current(int(group_report.total_bytes_completed))

        def close(self) -> None: ...

    original, were_disabled = xet_reporting.XetUploadProgressReporter, are_progress_bars_disabled()
    xet_reporting.XetUploadProgressReporter = Reporter  # type: ignore[assignment,misc]
    if not is_xet_available():
        disable_progress_bars()
    try:
        yield
    finally:
        xet_reporting.XetUploadProgressReporter = original  # type: ignore[misc]
        if not were_disabled:
            enable_progress_bars()
