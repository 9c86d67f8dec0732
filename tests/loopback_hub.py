"""A stand-in for the Hugging Face Hub on loopback, so that tests run the real clients without internet.

It answers as the Hub does to reading (repo info, trees, files and ranges of them, large files behind a redirect to
another host name), uploading (create, preupload, LFS, commit) and to callers it must refuse (bad token, private, gated,
absent), as far as huggingface_hub, datasets and transformers were seen to ask. It has no branches, tags or pull
requests (only `main` and full commit ids), no deleting, listing or searching, no pages in long answers, no Xet, no
multipart upload and no rules for .gitignore or model cards; content is held in memory. Where the real Hub answers 401
to an anonymous caller for a repo that does not exist, this one answers 404 to everybody.

    with LoopbackHub(tmp_path) as hub:
        sha = hub.add_repo("dataset", "someone/rows", {"train.jsonl": b"..."})
        subprocess.run([sys.executable, "-c", "..."], env=hub.env())
"""

import base64
import hashlib
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

LFS_SUFFIXES = (".arrow", ".bin", ".gguf", ".gz", ".npz", ".onnx", ".parquet", ".pt", ".safetensors", ".zip")
LARGE = 10 * 2**20  # bytes; the Hub's git takes no larger file
ANONYMOUS = "Invalid username or password."


def is_lfs(path: str, size: int) -> bool:
    return size > 0 and (path.endswith(LFS_SUFFIXES) or size > LARGE)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_entry(path: str, data: bytes) -> dict:
    # The real oid of a large file is that of its LFS pointer. Clients only compare it, so the content's serves.
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = {"type": "file", "path": path, "size": len(data), "oid": oid}
    lfs = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
    return entry | ({"lfs": lfs} if is_lfs(path, len(data)) else {})


def etag(entry: dict) -> str:
    return entry.get("lfs", entry)["oid"]


def tree_entries(files: dict[str, bytes], folder: str = "", recursive: bool = True) -> list[dict]:
    """What lies below a folder, folders included: all of it, or the first level."""
    prefix, found = f"{folder}/" if folder else "", {}
    for path in sorted(path for path in files if path.startswith(prefix)):
        steps = path.removeprefix(prefix).split("/")
        for depth in range(1, len(steps) if recursive else min(len(steps), 2)):
            inner = prefix + "/".join(steps[:depth])
            found[inner] = {"type": "directory", "path": inner, "oid": hashlib.sha1(inner.encode()).hexdigest()}
        if recursive or len(steps) == 1:
            found[path] = file_entry(path, files[path])
    return list(found.values())


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, **headers: str):
        super().__init__(message)
        named = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.status, self.headers = status, named | headers


class Account(NamedTuple):
    user: str
    may_read: set[str]
    role: str


class Repo:
    """The commits of a repo; `files` is what `main` holds, and `head` its commit id."""

    def __init__(self, kind: str, repo_id: str):
        self.kind, self.repo_id = kind, repo_id
        self.url = f"/datasets/{repo_id}" if kind == "dataset" else f"/{repo_id}"
        self.commits: dict[str, dict[str, bytes]] = {}

    def commit(self, files: dict[str, bytes]) -> str:
        content = "".join(f"{path}\0{sha256(data)}\n" for path, data in sorted(files.items()))
        self.head, self.files = hashlib.sha1(content.encode()).hexdigest(), files
        self.commits[self.head] = files
        return self.head

    def at(self, revision: str) -> tuple[str, dict[str, bytes]]:
        sha = self.head if revision == "main" else revision
        if sha not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha, self.commits[sha]


class LoopbackHub:
    """The server and what it holds; every add_… may be called while it runs."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.tokens: dict[str, Account] = {}
        self.storage: dict[str, bytes] = {}  # large files by sha256
        self.requests: list[tuple[str, str]] = []
        self.unknown: list[tuple[str, str]] = []  # those of the requests that no route took
        self.committing = threading.Lock()

    def __enter__(self) -> "LoopbackHub":
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        self.server.daemon_threads = False  # so that closing waits for the requests under way
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        # Clients decide by the host whether their token goes along, and the real Hub's storage has a host of its own.
        self.storage_url = f"http://localhost:{self.server.server_port}/lfs"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def add_repo(self, kind: str, repo_id: str, files: dict | Path, private: bool = False, gated: bool = False) -> str:
        """Hold files (dict[str, bytes] or a folder) at `main` and return the commit; a repo that exists gets one more."""
        if not isinstance(files, dict):
            files = {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}
        self.storage |= {sha256(data): data for path, data in files.items() if is_lfs(path, len(data))}
        repo = self.repos.get((kind, repo_id)) or Repo(kind, repo_id)
        repo.private, repo.gated = private, gated
        sha = repo.commit(dict(files))
        self.repos[kind, repo_id] = repo
        return sha

    def add_token(self, token: str, user: str, may_read: set[str] | None = None, role: str = "write") -> None:
        """`user` reads, and in the role "write" writes, what lies under their own name; may_read opens other repos."""
        self.tokens[token] = Account(user, may_read or set(), role)

    def env(self, **extra: str) -> dict[str, str]:
        """The environment for a child process: this one's, less every Hub setting in it, plus `extra`."""
        foreign = ("HF_", "HUGGING", "TRANSFORMERS_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        own = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(self.folder / "hf-home"), "HF_HUB_DISABLE_XET": "1"}
        direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        return kept | own | direct | {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"} | extra


class Handler(BaseHTTPRequestHandler):
    """One request: finds its route, a method below, which answers or raises a Refusal.

    Speaks HTTP/1.0, the base class's default: each connection ends with its answer, so no idle one outlives a test.
    """

    hub: LoopbackHub

    def dispatch(self) -> None:
        address = urlsplit(self.path)
        self.query = parse_qs(address.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append((self.command, unquote(address.path)))
        try:
            self.account = self.log_in()
            for verbs, pattern, answer in ROUTES:
                if self.command in verbs and (match := re.fullmatch(pattern, address.path)):
                    self.part = {name: unquote(value or "") for name, value in match.groupdict().items()}
                    return answer(self)
        except Refusal as refusal:
            self.send_json({"error": str(refusal)}, refusal.status, refusal.headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = dispatch

    def log_message(self, *_: object) -> None:
        """Stay silent: hub.requests tells."""

    def send_bytes(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_bytes(json.dumps(value).encode(), status, {"Content-Type": "application/json"} | (headers or {}))

    def send_file(self, data: bytes, headers: dict[str, str]) -> None:
        """What the Range header asks for (bytes=first-last or bytes=first-), or everything."""
        size, headers = len(data), headers | {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return self.send_bytes(data, 200, headers)
        start, stop = int(asked[1]), min(int(asked[2] or size) + 1, size)
        if start >= stop:
            return self.send_bytes(b"", 416, {"Content-Range": f"bytes */{size}"})
        return self.send_bytes(data[start:stop], 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"})

    def log_in(self) -> Account | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            # By these very words huggingface_hub tells a bad token from a repo that is absent.
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.tokens.get(token)

    def repo(self, content: bool = False, write: bool = False) -> Repo:
        """The repo in the path, or the refusal that this caller gets; `content` asks for what is in its files."""
        name, account = self.part["repo_id"], self.account
        repo = self.hub.repos.get((self.part["kind"] or "model", name))
        admitted = account and (name.startswith(account.user + "/") or name in account.may_read)
        if repo is None or (repo.private and not admitted):
            # Somebody logged in must not learn that a private repo exists; others are told that they may have to.
            raise Refusal(401 if repo and not account else 404, "Repository not found", "RepoNotFound")
        if content and repo.gated and not admitted:  # what a gated repo lists is public, as on the real Hub
            message = f"Access to {repo.kind} {name} is restricted: " + ("ask for it" if account else "log in")
            raise Refusal(403 if account else 401, message, "GatedRepo")
        if write:
            self.check_write(name)
        return repo

    def check_write(self, repo_id: str) -> None:
        if self.account is None:
            raise Refusal(401, ANONYMOUS)
        if self.account.role != "write" or not repo_id.startswith(self.account.user + "/"):
            raise Refusal(403, f"This token may not write to {repo_id}")

    def whoami(self) -> None:
        if self.account is None:
            raise Refusal(401, ANONYMOUS)
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": self.account.role}}
        self.send_json({"type": "user", "name": self.account.user, "orgs": [], "auth": auth})

    def validate_yaml(self) -> None:
        self.send_json({"errors": [], "warnings": []})

    def create(self) -> None:
        wanted = json.loads(self.body)
        kind, owner = wanted.get("type") or "model", wanted.get("organization") or (self.account and self.account.user)
        repo_id = f"{owner}/{wanted['name']}"
        self.check_write(repo_id)
        exists = (kind, repo_id) in self.hub.repos
        if not exists:
            first = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}
            self.hub.add_repo(kind, repo_id, first, private=wanted.get("visibility") == "private")
        # A client that accepts a repo which exists takes its address from the refusal.
        self.send_json({"url": self.hub.endpoint + self.hub.repos[kind, repo_id].url}, 409 if exists else 200)

    def info(self) -> None:
        repo = self.repo()
        sha, files = repo.at(self.part["revision"] or "main")
        status = {"private": repo.private, "gated": "manual" if repo.gated else False}
        self.send_json({"id": repo.repo_id, "sha": sha, "siblings": [{"rfilename": path} for path in files]} | status)

    def tree(self) -> None:
        _, files = self.repo().at(self.part["revision"])
        found = tree_entries(files, self.part["path"], self.query.get("recursive", [""])[0].lower() == "true")
        if self.part["path"] and not found:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        self.send_json(found)

    def paths_info(self) -> None:
        _, files = self.repo().at(self.part["revision"])
        asked = parse_qs(self.body.decode()).get("paths", [])
        self.send_json([entry for entry in tree_entries(files) if entry["path"] in asked])

    def file(self) -> None:
        sha, files = self.repo(content=True).at(self.part["revision"])
        path, commit = self.part["path"], {"X-Repo-Commit": sha}
        if path not in files:
            raise Refusal(404, "Entry not found", "EntryNotFound", **commit)
        entry = file_entry(path, files[path])
        if "lfs" not in entry:
            return self.send_file(files[path], commit | {"ETag": f'"{etag(entry)}"'})
        linked = {"X-Linked-ETag": f'"{etag(entry)}"', "X-Linked-Size": str(entry["size"])}
        return self.send_bytes(b"", 302, commit | linked | {"Location": f"{self.hub.storage_url}/{etag(entry)}"})

    def preupload(self) -> None:
        _, files = self.repo(write=True).at(self.part["revision"])
        modes = []
        for path, size in ((file["path"], file["size"]) for file in json.loads(self.body)["files"]):
            held = etag(file_entry(path, files[path])) if path in files else None  # the client skips what is the same
            mode = "lfs" if is_lfs(path, size) else "regular"
            modes.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": held})
        self.send_json({"files": modes})

    def lfs_batch(self) -> None:
        verify = {"href": f"{self.hub.endpoint}{self.repo(write=True).url}.git/info/lfs/objects/verify"}
        objects = json.loads(self.body)["objects"]
        for wanted in objects:
            if wanted["oid"] not in self.hub.storage:  # without actions, the client has nothing to upload
                wanted["actions"] = {"upload": {"href": f"{self.hub.storage_url}/{wanted['oid']}"}, "verify": verify}
        self.send_json({"transfer": "basic", "objects": objects})

    def lfs_verify(self) -> None:
        self.repo(write=True)
        if json.loads(self.body)["oid"] not in self.hub.storage:
            raise Refusal(404, "What was uploaded is something else")
        self.send_json({})

    def storage(self) -> None:
        if "Authorization" in self.headers:
            raise Refusal(400, "Storage takes no token: this one has leaked to another host")
        if self.command == "PUT":
            self.hub.storage[sha256(self.body)] = self.body
            return self.send_bytes(b"", 200, {})
        return self.send_file(self.hub.storage[self.part["oid"]], {"ETag": f'"{self.part["oid"]}"'})

    def commit(self) -> None:
        repo = self.repo(write=True)
        with self.hub.committing:
            files = dict(repo.at(self.part["revision"])[1])
            for key, value in ((line["key"], line["value"]) for line in map(json.loads, self.body.splitlines())):
                if key == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif key == "lfsFile" and value["oid"] in self.hub.storage:
                    files[value["path"]] = self.hub.storage[value["oid"]]
                elif key != "header":
                    raise Refusal(400, f"Cannot commit {key} {value['path']}")
            sha = repo.commit(files)
        self.send_json({"commitUrl": f"{self.hub.endpoint}{repo.url}/commit/{sha}", "commitOid": sha})

    def unknown(self) -> None:
        self.hub.unknown.append(self.hub.requests[-1])
        if self.part["repo_id"]:
            self.repo()
        raise Refusal(404, "Nothing is known here", "EntryNotFound")


REPO = r"(?P<repo_id>[\w.-]+(?:/[\w.-]+)?)"
API = rf"/api/(?P<kind>model|dataset)s/{REPO}"
PLAIN = rf"/(?:(?P<kind>dataset)s/)?{REPO}"
LFS = rf"{PLAIN}\.git/info/lfs/objects"
REVISION = "(?P<revision>[^/]+)"
READ, POST = ("GET", "HEAD"), ("POST",)
ROUTES = (  # the first that fits answers
    (READ, "/api/whoami-v2", Handler.whoami),
    (POST, "/api/validate-yaml", Handler.validate_yaml),
    (POST, "/api/repos/create", Handler.create),
    (READ, f"{API}(?:/revision/{REVISION})?", Handler.info),
    (READ, f"{API}/tree/{REVISION}(?:/(?P<path>.+))?", Handler.tree),
    (POST, f"{API}/paths-info/{REVISION}", Handler.paths_info),
    (POST, f"{API}/preupload/{REVISION}", Handler.preupload),
    (POST, f"{API}/commit/{REVISION}", Handler.commit),
    (READ, f"{PLAIN}/resolve/{REVISION}/(?P<path>.+)", Handler.file),
    (POST, f"{LFS}/batch", Handler.lfs_batch),
    (POST, f"{LFS}/verify", Handler.lfs_verify),
    ((*READ, "PUT"), "/lfs/(?P<oid>[0-9a-f]{64})", Handler.storage),
    ((*READ, *POST, "PUT", "DELETE"), f"(?:{API})?.*", Handler.unknown),
)
