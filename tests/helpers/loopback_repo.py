"""Repos of the stand-in for the Hugging Face Hub: their commits and files, and the refusals of requests."""

import threading
from collections import namedtuple
from hashlib import sha1, sha256

LFS_SUFFIXES = (".arrow", ".bin", ".gguf", ".gz", ".npz", ".onnx", ".parquet", ".pt", ".safetensors", ".zip")
Account = namedtuple("Account", "user may_read role scoped")


class Gate:
    """A point in a large file where the server waits, once, until the test lets it go on, or breaks the connection."""

    def __init__(self, at: int, breaks: bool = False, times: int = 1):
        self.at, self.breaks, self.times = at, breaks, times
        self.reached, self.opened = threading.Event(), threading.Event()


def is_lfs(path: str, size: int) -> bool:
    # The Hub's git takes no larger files.
    return size > 0 and (path.endswith(LFS_SUFFIXES) or size > 10 * 2**20)


def file_entry(path: str, data: bytes) -> dict:
    # The real oid of a large file is that of its LFS pointer. Clients only compare it, so the content's serves.
    oid, size = sha1(b"blob %d\0" % len(data) + data).hexdigest(), len(data)
    lfs = {"lfs": {"oid": sha256(data).hexdigest(), "size": size, "pointerSize": 134}} if is_lfs(path, size) else {}
    return {"type": "file", "path": path, "size": size, "oid": oid} | lfs


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, **headers: str):
        self.status, self.message = status, message
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | headers


class Repo:
    """The commits of a repo; `files` are those of `main`, and `head` is its commit id.

    Attributes:
        branches: Commit ids of the other branches and of the pull requests (refs/pr/1).
    """

    def __init__(self, kind: str, repo_id: str):
        self.kind, self.repo_id = kind, repo_id
        self.url = f"/datasets/{repo_id}" if kind == "dataset" else f"/{repo_id}"
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        content = "".join(f"{path}\0{sha256(data).hexdigest()}\n" for path, data in sorted(files.items()))
        sha = sha1(content.encode()).hexdigest()
        self.commits[sha] = files
        if branch == "main":
            self.head, self.files = sha, files
        else:
            self.branches[branch] = sha
        return sha

    def at(self, revision: str) -> tuple[str, dict[str, bytes]]:
        sha = self.head if revision == "main" else self.branches.get(revision, revision)
        if sha not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision!a}", "RevisionNotFound")
        return sha, self.commits[sha]
