"""The real app configured as on a Hugging Face Space, and the headers of its author, members and visitors."""

import hashlib
import json
import time
from base64 import b64encode
from pathlib import Path

import httpx
import itsdangerous

from tests.helpers.app_server import AppServer
from tests.helpers.fork_server import ForkServer

AUTHOR, CLIENT, SECRET = "keeper", "the-client-of-the-space", "a secret of the Space"
ENVIRONMENT = {
    "SYSTEM": "spaces", "SPACE_ID": f"{AUTHOR}/studio", "SPACE_AUTHOR_NAME": AUTHOR, "OAUTH_CLIENT_ID": CLIENT,
    "OAUTH_CLIENT_SECRET": SECRET, "OAUTH_SCOPES": "openid profile", "OPENID_PROVIDER_URL": "http://127.0.0.1:9",
}  # fmt: skip


def start_space(home: Path, fork_server: ForkServer | None = None, **environment: str) -> AppServer:
    """Start the app as on a Space, with its port on loopback; see `AppServer` for the arguments."""
    return AppServer(home, "--host", "127.0.0.1", fork_server=fork_server, **(ENVIRONMENT | environment))


def signed_in_headers(
    name: str, *organizations: dict, secret: str = SECRET, expires: float | None = None
) -> dict[str, str]:
    """Return the headers of a browser that signed in with Hugging Face, with a cookie signed as the server signs it."""
    claims = {"preferred_username": name, "name": name, "orgs": list(organizations)}
    info = {"userinfo": claims, "expires_at": expires or time.time() + 3600, "access_token": "hf_oauth_of_nobody"}
    signer = itsdangerous.TimestampSigner(hashlib.sha256(f"{secret}-v4".encode()).hexdigest())
    cookie = signer.sign(b64encode(json.dumps({"oauth_info": info}).encode())).decode()
    return {"cookie": f"session={cookie}"}


def visitor_headers(name: str) -> dict[str, str]:
    """Return the headers of a visitor's browser."""
    return {"cookie": f"studio_visitor={name}"}


def refusal(answer: dict) -> str:
    """Return the error of a call over the queue that must fail."""
    assert not answer["success"], answer
    return answer["output"]["error"]


def get(app: AppServer, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Request a path of the app."""
    # Loading the certificate store takes longer than the request, and loopback has no TLS.
    return httpx.get(f"{app.url}{path}", headers=headers, timeout=30, verify=False)
