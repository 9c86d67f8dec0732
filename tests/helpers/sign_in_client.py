"""What tests of signing in ask of a browser: who it is for the server, what its cookie says, where it is sent."""

import json
import re
from base64 import b64decode
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tests.helpers.app_server import PROJECT, QueueClient


def readme_scopes() -> str:
    """What a Space made of this README asks for: two scopes always, and those that the README names."""
    named = re.search(r"^hf_oauth_scopes:\n((?: +- .+\n)+)", (PROJECT / "README.md").read_text(), re.MULTILINE)
    return " ".join(["openid", "profile", *re.findall(r"- (\S+)", named[1])])


def is_owner(url: str, client: httpx.Client) -> bool:
    """Whether a call of the owner's is let in."""
    queue = QueueClient(url, cookies=client.cookies)
    said = queue.call("stop", "no-such-run")["error"]
    queue.http.close()
    assert ("There is no run" in said) != ("That is the owner's" in said), said
    return "There is no run" in said


def session_cookie(client: httpx.Client) -> dict:
    """What the server wrote into the browser's cookie, which is signed and can be read."""
    kept = client.cookies.get("session", "")
    return json.loads(b64decode(kept.split(".")[0])) if kept else {}


def sign_in_redirect(client: httpx.Client, **asked: str) -> str:
    """Where the server sends a browser that wants to sign in."""
    answer = client.get("/login/huggingface", params=asked, follow_redirects=False)
    assert answer.status_code == 302
    return answer.headers["location"]


def with_query(url: str, **values: str) -> str:
    split = urlsplit(url)
    return split._replace(query=urlencode(dict(parse_qsl(split.query)) | values)).geturl()
