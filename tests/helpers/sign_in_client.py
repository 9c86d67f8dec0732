"""Helpers of sign-in tests: whether a browser is the owner, its session cookie, and its redirects."""

import json
import re
from base64 import b64decode
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tests.helpers.app_server import PROJECT, QueueClient


def readme_scopes() -> str:
    """Return the scopes of a Space with this README: two that are always requested, and those that it lists."""
    named = re.search(r"^hf_oauth_scopes:\n((?: +- .+\n)+)", (PROJECT / "README.md").read_text(), re.MULTILINE)
    return " ".join(["openid", "profile", *re.findall(r"- (\S+)", named[1])])


def is_owner(url: str, client: httpx.Client) -> bool:
    """Return whether the browser may call an endpoint of the owner."""
    queue = QueueClient(url, cookies=client.cookies)
    error = queue.call("stop_run", "no-such-run")["error"]
    queue.http.close()
    assert ("There is no run" in error) != ("Only the owner can do this" in error), error
    return "There is no run" in error


def session_cookie(client: httpx.Client) -> dict:
    """Return the content of the session cookie, which is signed but not encrypted."""
    cookie = client.cookies.get("session", "")
    return json.loads(b64decode(cookie.split(".")[0])) if cookie else {}


def sign_in_redirect(client: httpx.Client, **query: str) -> str:
    """Return the address that a browser is redirected to when it signs in."""
    response = client.get("/login/huggingface", params=query, follow_redirects=False)
    assert response.status_code == 302
    return response.headers["location"]


def with_query(url: str, **values: str) -> str:
    """Return a URL with values of its query changed."""
    split = urlsplit(url)
    return split._replace(query=urlencode(dict(parse_qsl(split.query)) | values)).geturl()
