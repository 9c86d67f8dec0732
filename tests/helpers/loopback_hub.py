"""A stand-in for the Hugging Face Hub on loopback, so that tests run the real clients without internet.

It answers as the Hub does to reading (repo info, trees, files and ranges of them, large files behind a redirect to
another host), uploading (`loopback_uploads`) and to callers it must refuse (bad token, private, gated, absent), as far
as huggingface_hub, datasets and transformers were seen to ask. It has no tags, no deleting or searching, no pages in
long answers, no multipart upload, no rules for .gitignore or model cards. For a repo that does not exist the
real Hub answers 401 to anonymous callers, and this one 404 to all.
"""

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from tests.helpers.loopback_repo import Account, Gate, Refusal, Repo, file_entry, is_lfs
from tests.helpers.loopback_uploads import Uploads


class LoopbackHub:
    """The server with its repos and tokens; the add methods may be called while it runs."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.tokens: dict[str, Account] = {}
        # Large files by SHA-256.
        self.storage: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        # Where the next answer that is long enough waits, or breaks off.
        self.gate: Gate | None = None
        # The same for a large file that a client sends.
        self.upload_gate: Gate | None = None
        # Folder that hf_xet stores large files in; None for clients that send them by HTTP.
        self.xet_folder: Path | None = None
        # Called at each request, with whether it was answered: before the answer, and after it.
        self.watch: Callable[[bool], None] = lambda is_answered: None
        # Requests that no route answered.
        self.unknown: list[tuple[str, str]] = []

    def __enter__(self) -> "LoopbackHub":
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        # Closing the server then waits for its open requests.
        self.server.daemon_threads = False
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        # This is another host, to which no token may go.
        self.storage_url = f"http://localhost:{self.server.server_port}/lfs"
        threading.Thread(target=self.server.serve_forever, args=(0.05,)).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add_repo(self, kind: str, repo_id: str, files: dict | Path, private: bool = False, gated: bool = False) -> str:
        """Commit files (bytes by path, or a folder) to `main` and return the commit id; create the repo if needed."""
        if not isinstance(files, dict):
            files = {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}
        self.storage |= {sha256(data).hexdigest(): data for path, data in files.items() if is_lfs(path, len(data))}
        repo = self.repos.setdefault((kind, repo_id), Repo(kind, repo_id))
        repo.private, repo.gated = private, gated
        return repo.commit(dict(files))

    def add_token(
        self, token: str, user: str, may_read: set[str] | None = None, role: str = "write", scoped: tuple = ()
    ) -> None:
        """Accept a token of `user`, who may write their own repositories in the role "write", and read `may_read`.

        A token in the role "fineGrained" may write in the namespaces that `scoped` names.
        """
        self.tokens[token] = Account(user, may_read or set(), role, scoped)

    def env(self, **extra: str) -> dict[str, str]:
        """Return the environment for a child process: this one's without its Hub settings, with `extra`."""
        inherited = {
            key: os.environ[key] for key in os.environ if not key.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))
        }
        own = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(self.folder / "hf-home"), "HF_HUB_DISABLE_XET": "1"}
        return inherited | own | {"HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "127.0.0.1,localhost"} | extra


class Handler(Uploads, BaseHTTPRequestHandler):
    """Handler of one request: its route answers or raises a Refusal. HTTP/1.0, so that no connection stays open."""

    hub: LoopbackHub
    # In seconds: a client that sends nothing must not delay the end of a test.
    timeout = 30

    def dispatch(self) -> None:
        path = urlsplit(self.path).path
        self.seen = (self.command, unquote(path))
        self.hub.requests.append(self.seen)
        if (body := self.read_body(int(self.headers.get("Content-Length", 0)))) is None:
            return
        self.body = body
        self.hub.watch(False)
        self.answer(path)
        self.hub.watch(True)

    def answer(self, path: str) -> None:
        """Let the first route that matches answer."""
        try:
            self.account = self.log_in()
            for verbs, pattern, answer in ROUTES:
                if self.command in verbs and (match := re.fullmatch(pattern, path)):
                    self.part = {name: unquote(value or "") for name, value in match.groupdict().items()}
                    return answer(self)
        except Refusal as refusal:
            self.send({"error": refusal.message}, refusal.status, refusal.headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = dispatch

    # `hub.requests` records the requests.
    def log_message(self, *_: object) -> None: ...

    def send(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, text in (headers or {"Content-Type": "application/json"}).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.write_body(data)

    def write_body(self, data: bytes) -> None:
        gate = self.hub.gate
        if gate is None or len(data) <= gate.at:
            self.wfile.write(data)
            return
        self.hub.gate = None
        self.wfile.write(data[: gate.at])
        if not gate.breaks:
            assert gate.opened.wait(self.timeout)
            # A client that has cancelled is gone.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data[gate.at :])

    def send_file(self, data: bytes, headers: dict[str, str]) -> None:
        """Send the range of the Range header (bytes=first-last or bytes=first-), or the whole file."""
        size, headers = len(data), headers | {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        requested = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not requested:
            return self.send(data, 200, headers)
        start, stop = int(requested[1]), min(int(requested[2] or size) + 1, size)
        if start >= stop:
            return self.send(b"", 416, {"Content-Range": f"bytes */{size}"})
        return self.send(data[start:stop], 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"})

    def log_in(self) -> Account | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            # huggingface_hub distinguishes a bad token from an absent repo by exactly this message.
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.tokens.get(token)

    def repo(self, content: bool = False, write: bool = False) -> Repo:
        """Return the repo of the path, or raise the caller's refusal; `content` and `write` require more rights."""
        name, account = self.part["repo_id"], self.account
        repo = self.hub.repos.get((self.part["kind"] or "model", name))
        admitted = account and (name.startswith(account.user + "/") or name in account.may_read)
        if repo is None or (repo.private and not admitted):
            # A signed-in caller must not learn that a private repo exists; an anonymous one gets 401 to sign in.
            raise Refusal(401 if repo and not account else 404, "Repository not found", "RepoNotFound")
        # The file list of a gated repo is public, as on the real Hub.
        if content and repo.gated and not admitted:
            raise Refusal(403 if account else 401, f"Access to {repo.kind} {name} is restricted", "GatedRepo")
        if write:
            self.check_write(name)
        return repo

    def info(self) -> None:
        repo = self.repo()
        sha, files = repo.at(self.part["revision"] or "main")
        status = {"private": repo.private, "gated": "manual" if repo.gated else False}
        self.send({"id": repo.repo_id, "sha": sha, "siblings": [{"rfilename": path} for path in files]} | status)

    def all_entries(self) -> list[dict]:
        _, files = self.repo().at(self.part["revision"])
        folders = {str(folder) for path in files for folder in PurePosixPath(path).parents} - {"."}
        found = [{"type": "directory", "path": path, "oid": sha1(path.encode()).hexdigest()} for path in folders]
        return found + [file_entry(path, data) for path, data in files.items()]

    def tree(self) -> None:
        prefix = f"{self.part['path']}/" if self.part["path"] else ""
        found = [entry for entry in self.all_entries() if entry["path"].startswith(prefix)]
        if prefix and not found:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        if "recursive=true" not in self.path.lower():
            found = [entry for entry in found if "/" not in entry["path"].removeprefix(prefix)]
        self.send(found)

    def paths_info(self) -> None:
        paths = parse_qs(self.body.decode()).get("paths", [])
        self.send([entry for entry in self.all_entries() if entry["path"] in paths])

    def file(self) -> None:
        sha, files = self.repo(content=True).at(self.part["revision"])
        path, commit = self.part["path"], {"X-Repo-Commit": sha}
        if path not in files:
            raise Refusal(404, "Entry not found", "EntryNotFound", **commit)
        data, size = files[path], len(files[path])
        if not is_lfs(path, size):
            return self.send_file(data, commit | {"ETag": f'"{file_entry(path, data)["oid"]}"'})
        oid = sha256(data).hexdigest()
        linked = {"X-Linked-ETag": f'"{oid}"', "X-Linked-Size": str(size), "Location": f"{self.hub.storage_url}/{oid}"}
        return self.send(b"", 302, commit | linked)

    def unknown(self) -> None:
        self.hub.unknown.append(self.seen)
        if self.part["repo_id"]:
            self.repo()
        raise Refusal(404, "Nothing is known here", "EntryNotFound")


REPO = r"(?P<repo_id>[\w.-]+(?:/[\w.-]+)?)"
API = rf"/api/(?P<kind>model|dataset)s/{REPO}"
PLAIN = rf"/(?:(?P<kind>dataset)s/)?{REPO}"
REVISION = "(?P<revision>[^/]+)"
# The first route that matches answers.
ROUTES = (
    ("GET HEAD", "/api/whoami-v2", Handler.whoami),
    ("POST", "/api/validate-yaml", lambda call: call.send({"errors": [], "warnings": []})),
    ("POST", "/api/repos/create", Handler.create),
    ("GET HEAD", f"{API}/auth-check", lambda call: call.send({"id": call.repo(content=True).repo_id})),
    ("GET HEAD", f"{API}(?:/revision/{REVISION})?", Handler.info),
    ("GET HEAD", f"{API}/tree/{REVISION}(?:/(?P<path>.+))?", Handler.tree),
    ("POST", f"{API}/paths-info/{REVISION}", Handler.paths_info),
    ("POST", f"{API}/preupload/{REVISION}", Handler.preupload),
    ("POST", f"{API}/commit/{REVISION}", Handler.commit),
    ("POST", f"{API}/branch/{REVISION}", Handler.create_branch),
    ("GET", f"{API}/xet-write-token/{REVISION}", Handler.xet_token),
    ("GET HEAD", f"{PLAIN}/resolve/{REVISION}/(?P<path>.+)", Handler.file),
    ("POST", rf"{PLAIN}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    # `storage` has verified the content already.
    ("POST", rf"{PLAIN}\.git/info/lfs/objects/verify", lambda call: call.send({})),
    ("GET HEAD PUT", "/lfs/(?P<oid>[0-9a-f]{64})", Handler.storage),
    ("GET HEAD POST PUT DELETE", f"(?:{API})?.*", Handler.unknown),
)
