"""The real app as it stands on a Space, and people in front of it: the author, a member, visitors."""

import hashlib
import json
import time
from base64 import b64encode
from pathlib import Path

import httpx
import itsdangerous

from tests.helpers.app_server import AppServer, PageClient

AUTHOR, CLIENT, SECRET = "keeper", "the-client-of-the-space", "a secret of the Space"
ENVIRONMENT = {
    "SYSTEM": "spaces", "SPACE_ID": f"{AUTHOR}/studio", "SPACE_AUTHOR_NAME": AUTHOR, "OAUTH_CLIENT_ID": CLIENT,
    "OAUTH_CLIENT_SECRET": SECRET, "OAUTH_SCOPES": "openid profile", "OPENID_PROVIDER_URL": "http://127.0.0.1:9",
}  # fmt: skip


def start_space(home: Path, **environment: str) -> AppServer:
    return AppServer(home, "--host", "127.0.0.1", **(ENVIRONMENT | environment))


def signed_in_headers(
    name: str, *organisations: dict, secret: str = SECRET, expires: float | None = None
) -> dict[str, str]:
    """The headers of a browser in which somebody signed in with Hugging Face, as the server itself signs them."""
    person = {"preferred_username": name, "name": name, "orgs": list(organisations)}
    info = {"userinfo": person, "expires_at": expires or time.time() + 3600, "access_token": "hf_oauth_of_nobody"}
    signer = itsdangerous.TimestampSigner(hashlib.sha256(f"{secret}-v4".encode()).hexdigest())
    cookie = signer.sign(b64encode(json.dumps({"oauth_info": info}).encode())).decode()
    return {"cookie": f"session={cookie}"}


def visitor_headers(name: str) -> dict[str, str]:
    """The headers of a visitor's browser."""
    return {"cookie": f"studio_visitor={name}"}


def page(app: AppServer, headers: dict[str, str]) -> PageClient:
    return PageClient(app.url, headers)


def refusal(answer: dict) -> str:
    """Why the queue refused a call."""
    assert not answer["success"], answer
    return answer["output"]["error"]


def get(app: AppServer, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    # verify: certificates, which loopback has none of, take longer to read than the answer
    return httpx.get(f"{app.url}{path}", headers=headers, timeout=30, verify=False)
