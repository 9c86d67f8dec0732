"""The uploading half of the stand-in for the Hugging Face Hub: whoami, create, branches, preupload, LFS and commits."""

import base64
import json
import socket
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from tests.helpers.loopback_repo import Refusal, file_entry, is_lfs


class Uploads:
    """Routes of the handler that write."""

    def read_body(self, size: int) -> bytes | None:
        """Return the body of a request; None if a gate broke the connection, or if the client has gone."""
        gate = self.hub.upload_gate
        if self.command != "PUT" or gate is None or size <= gate.at:
            return self.rfile.read(size)
        gate.times -= 1
        if not gate.times:
            self.hub.upload_gate = None
        head = self.rfile.read(gate.at)
        gate.reached.set()
        if gate.breaks:
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        assert gate.opened.wait(self.timeout)
        rest = self.rfile.read(size - gate.at)
        return head + rest if len(rest) == size - gate.at else None

    def check_write(self, repo_id: str) -> None:
        account, owner = self.account, repo_id.partition("/")[0]
        allowed = account and (
            (account.role == "write" and owner == account.user)
            or (account.role == "fineGrained" and (owner in account.scoped or repo_id in account.scoped))
        )  # fmt: skip
        if not allowed:
            raise Refusal(403 if account else 401, f"No permission to write to {repo_id}")

    def whoami(self) -> None:
        if self.account is None:
            raise Refusal(401, "Log in first")
        token = {"displayName": "test", "role": self.account.role}
        if self.account.role == "fineGrained":
            scoped = [{"entity": {"name": name}, "permissions": ["repo.write"]} for name in self.account.scoped]
            token |= {"fineGrained": {"global": [], "scoped": scoped}}
        person = {"name": self.account.user, "fullname": self.account.user, "avatarUrl": "/avatars/0.svg"}
        self.send({"type": "user", **person, "orgs": [], "auth": {"accessToken": token}})

    def create(self) -> None:
        wanted = json.loads(self.body)
        kind, owner = wanted.get("type") or "model", wanted.get("organization") or (self.account and self.account.user)
        repo_id = f"{owner}/{wanted['name']}"
        self.check_write(repo_id)
        exists = (kind, repo_id) in self.hub.repos
        if not exists:
            self.hub.add_repo(kind, repo_id, {".gitattributes": b"# LFS\n"}, wanted.get("visibility") == "private")
        # A client that accepts a repo which exists takes its address from the refusal.
        self.send({"url": self.hub.endpoint + self.hub.repos[kind, repo_id].url}, 409 if exists else 200)

    def create_branch(self) -> None:
        repo, branch = self.repo(write=True), self.part["revision"]
        if branch in repo.branches:
            raise Refusal(409, "The branch exists")
        repo.branches[branch] = repo.head
        self.send({})

    def _opens_pull_request(self) -> bool:
        """Return whether the request belongs to a pull request, which any account may open that may write somewhere."""
        if "create_pr" not in parse_qs(urlsplit(self.path).query):
            return False
        if self.account is None or self.account.role == "read":
            raise Refusal(403 if self.account else 401, "No permission to open a pull request")
        return True

    def preupload(self) -> None:
        _, files = self.repo(write=not self._opens_pull_request()).at(self.part["revision"])
        modes = []
        for path, size in ((file["path"], file["size"]) for file in json.loads(self.body)["files"]):
            held = file_entry(path, files[path]) if path in files else {}
            mode = {"path": path, "uploadMode": "lfs" if is_lfs(path, size) else "regular", "shouldIgnore": False}
            # The client skips files with an equal oid.
            modes.append(mode | {"oid": held.get("lfs", held).get("oid")})
        self.send({"files": modes})

    def lfs_batch(self) -> None:
        # The request does not say whether it belongs to a pull request.
        if self.account is None or self.account.role == "read":
            raise Refusal(403 if self.account else 401, "No permission to upload")
        verify = {"href": f"{self.hub.endpoint}{self.repo().url}.git/info/lfs/objects/verify"}
        objects = json.loads(self.body)["objects"]
        for wanted in objects:
            # An object without actions needs no upload.
            if wanted["oid"] not in self.hub.storage:
                wanted["actions"] = {"upload": {"href": f"{self.hub.storage_url}/{wanted['oid']}"}, "verify": verify}
        self.send({"transfer": "basic", "objects": objects})

    def xet_token(self) -> None:
        """Answer where hf_xet stores files: in a folder, which it takes in place of a server."""
        if self.hub.xet_folder is None:
            return self.unknown()
        self.repo(write=not self._opens_pull_request())
        return self.send({"casUrl": f"local://{self.hub.xet_folder}", "accessToken": "x", "exp": 4_000_000_000})

    def storage(self) -> None:
        if "Authorization" in self.headers:
            raise Refusal(400, "Storage takes no token: this one has leaked to another host")
        oid = self.part["oid"]
        if self.command != "PUT":
            return self.send_file(self.hub.storage[oid], {"ETag": f'"{oid}"'})
        if sha256(self.body).hexdigest() != oid:
            raise Refusal(400, "The content is not what its name says")
        self.hub.storage[oid] = self.body
        return self.send(b"")

    def commit(self) -> None:
        proposed = self._opens_pull_request()
        repo = self.repo(write=not proposed)
        files = dict(repo.at(self.part["revision"])[1])
        for key, value in ((line["key"], line["value"]) for line in map(json.loads, self.body.splitlines())):
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile" and value["oid"] in self.hub.storage:
                files[value["path"]] = self.hub.storage[value["oid"]]
            elif key == "lfsFile" and self.hub.xet_folder:
                # Only hf_xet can read what it has stored.
                files[value["path"]] = value["oid"].encode()
            elif key != "header":
                raise Refusal(400, f"Cannot commit {key} {value['path']!a}")
        number = 1 + sum(name.startswith("refs/pr/") for name in repo.branches)
        sha = repo.commit(files, f"refs/pr/{number}" if proposed else self.part["revision"])
        url = f"{self.hub.endpoint}{repo.url}"
        pull_request = {"pullRequestUrl": f"{url}/discussions/{number}"} if proposed else {}
        self.send({"commitUrl": f"{url}/commit/{sha}", "commitOid": sha, **pull_request})
