"""Push of a folder to a repository of the Hugging Face Hub: the one way in which the studio sends anything there.

The files are sent one after the other, and one commit at the end makes them visible together. A push that breaks off
changes nothing in the repository; when it is repeated, files that have arrived are not sent again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.errors import StudioError, reason_of
from core.hub import account, client
from core.hub.target import PushTarget
from core.system.counting import counted
from core.system.jobs import Progress, ignore_progress
from core.system.secret_masking import masked
from core.system.sizes import format_size

if TYPE_CHECKING:
    from core.hub.upload import SentBytes

RepoKind = Literal["dataset", "model"]
# Shares of the progress at which sending the files begins and ends.
_SENDING, _SENT = 0.15, 0.95


@dataclass(frozen=True)
class Pushed:
    """Result of a push.

    Attributes:
        repo: Hub id of the repository.
        url: Address of the commit, or of the pull request.
        is_private: Whether the repository is private.
        account: Who pushed, and what the token may do.
    """

    repo: str
    url: str
    is_private: bool
    account: str

    @property
    def visibility(self) -> str:
        """Return who can read the repository, as the rest of a sentence."""
        return "private" if self.is_private else "public: everybody can read it"

    def describe(self) -> str:
        """Return where the files are and who can read them."""
        return f"Pushed to {self.url}. The repository is {self.visibility}."


def push_folder(
    folder: Path, kind: RepoKind, target: PushTarget, message: str, progress: Progress = ignore_progress,
    source: str | None = None,
) -> Pushed:  # fmt: skip
    """Upload a folder as one commit or pull request, and create the repository or branch if it does not exist.

    Args:
        folder: The folder.
        kind: Type of the repository.
        target: Where to push.
        message: Commit message.
        progress: Takes the fraction that is done and a description.
        source: Where the token of the target is from, if it was not typed.

    Raises:
        StudioError: The Hub refuses the push, cannot be reached, or the connection broke.
    """
    return _Push(folder, kind, target, message, progress, source).work()


class _Push:
    """One push."""

    def __init__(
        self, folder: Path, kind: RepoKind, target: PushTarget, message: str, progress: Progress, source: str | None
    ):  # fmt: skip
        from huggingface_hub import HfApi

        self.folder, self.kind, self.target, self.message = folder, kind, target, message
        self.progress = progress
        token, known_source = account.find_token(target.secret)
        self.source = source or known_source
        self.api = HfApi(token=token)
        # Arguments of every call about the repository.
        self.repo: dict[str, Any] = {"repo_id": target.repo, "repo_type": kind}
        self.sent: SentBytes | None = None

    def work(self) -> Pushed:
        """Push the folder, and return the result."""
        with client.explained(self.kind, self.target.repo, client.WRITE_TOKEN_ADVICE):
            try:
                return self._push()
            except Exception as error:
                self._raise_broken(error)
                raise

    def _push(self) -> Pushed:
        self.progress(0.02, "Checking the token")
        who = account.Account.from_answer(self.api.whoami(), self.source)
        # A fine-grained token may have the right to open pull requests without the right to write.
        if who.role == "read" or not self.target.pull_request:
            who.check_write()
        self.progress(0.05, f"Looking for {self.target.repo}")
        is_private = self._find_or_create(who)
        if self.target.branch:
            self.progress(0.1, f"Creating the branch {self.target.branch} if it does not exist")
            self.api.create_branch(**self.repo, branch=self.target.branch, exist_ok=True)
        commit = self._commit(self._send())
        self.progress(1.0, "Pushed")
        return Pushed(self.target.repo, str(commit.pr_url or commit.commit_url), is_private, who.describe())

    def _find_or_create(self, who: account.Account) -> bool:
        """Return whether the repository is private; create it if it does not exist."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            return bool(self.api.repo_info(**self.repo).private)
        except RepositoryNotFoundError:
            if self.target.pull_request and not who.owns(self.target.repo):
                raise
        self.progress(0.08, f"Creating {self.target.repo}")
        self.api.create_repo(**self.repo, private=self.target.private, exist_ok=True)
        return self.target.private

    def _send(self) -> list[Any]:
        """Send the large files, and return all of them as parts of a commit."""
        from core.hub.upload import CountedUpload, SentBytes, counting

        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        total = sum(path.stat().st_size for path in paths)
        report = self._report(total, len(paths))
        self.sent = SentBytes(total, _Throttle(report))
        files = []
        with counting(self.sent):
            for path in paths:
                file = CountedUpload.of(path, path.relative_to(self.folder).as_posix(), self.sent)
                # One at a time, so that a push that breaks off has complete files to go on from.
                self.api.preupload_lfs_files(**self.repo, additions=[file], **self._where(), free_memory=False)
                self.sent.complete(file.upload_info.size)
                # A fast connection sends a file within the interval of the throttle.
                report(self.sent.done)
                files.append(file)
        return files

    def _report(self, total: int, count: int) -> Callable[[int], None]:
        """Return a function that reports how many bytes are done."""

        def report(done: int) -> None:
            share = done / total if total else 1.0
            text = f"Uploading {counted(count, 'file')}, {format_size(done)} of {format_size(total)}"
            self.progress(_SENDING + (_SENT - _SENDING) * share, text)

        return report

    def _commit(self, files: list[Any]) -> Any:
        self.progress(_SENT, "Committing")
        try:
            return self.api.create_commit(**self.repo, operations=files, commit_message=self.message, **self._where())
        except ValueError as error:
            # huggingface_hub raises it for front matter that the Hub does not accept.
            raise StudioError(f"The Hub does not accept the card README.md: {masked(reason_of(error))}.") from error

    def _where(self) -> dict[str, Any]:
        """Return the branch or pull request, as huggingface_hub's calls take it."""
        return {"create_pr": True} if self.target.pull_request else {"revision": self.target.branch or None}

    def _raise_broken(self, error: Exception) -> None:
        """Raise StudioError if a connection broke or the Hub failed, so that the same push may be made again."""
        reason = client.broken_reason(error)
        if reason is None:
            return
        if self.sent is None:
            raise StudioError(
                f"Nothing was pushed to {self.target.repo}: {reason}. Check the network, then push again."
            ) from error
        raise StudioError(
            f"The push to {self.target.repo} broke off after {format_size(self.sent.done + self.sent.current)} of "
            f"{format_size(self.sent.total)}: {reason}. Push again: files that have arrived are not sent a second time."
        ) from error


class _Throttle:
    """Callback that passes on at most ten values per second, and drops the others."""

    def __init__(self, report: Callable[[int], None], seconds: float = 0.1):
        self._report, self._seconds, self._last = report, seconds, float("-inf")

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= self._seconds:
            self._last = now
            self._report(done)
