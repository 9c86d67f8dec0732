"""Hugging Face's identity provider on loopback: OpenID Connect, as Gradio and Authlib ask for it on a Space.

It answers as the Hub's documentation and clients say that the Hub does: metadata, authorization with a code of one use,
the token for client id and secret, an ID token signed with RS256, its keys, and userinfo. Nobody is asked for consent:
whoever `person` names sits before the browser; None declines. A person's role in an organisation is told where the
scope `read-memberships` was asked for.
"""

import base64
import http.server
import json
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.helpers.space_server import CLIENT, SECRET

_LASTS = 8 * 3600  # seconds, of a token


def claims_of(name: str, **roles: str) -> dict[str, Any]:
    """Somebody with an account, and their role in each organisation."""
    organisations = [
        {"sub": f"{number:024x}", "name": f"The people of {org}", "preferred_username": org, "isEnterprise": False,
         "picture": f"https://cdn-avatars.huggingface.co/v1/production/uploads/{number:024x}/{'p' * 21}.png",
         "roleInOrg": role} for number, (org, role) in enumerate(roles.items())
    ]  # fmt: skip
    return {
        "sub": name.encode().hex().ljust(24, "0"), "name": f"{name} of the coast", "preferred_username": name,
        "profile": f"https://huggingface.co/{name}", "picture": "https://huggingface.co/avatars/0.svg", "website": "",
        "isPro": False, "orgs": organisations,
    }  # fmt: skip


class OAuthProvider:
    """Attributes:
    person: who sits before the browser; None for somebody who declines.
    asked: method and path of every request, in order.
    said: every secret given out: codes, access tokens, ID tokens.
    signs: the key of ID tokens; only its first value is published.
    bent: claims that an ID token has in place of the right ones.
    """

    def __init__(self, space_host: str, scopes: str):
        self.space_host, self.scopes = space_host, scopes
        self.person: dict[str, Any] | None = None
        self.asked: list[str] = []
        self.said: list[str] = []
        self.codes: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.signs = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self.bent: dict[str, Any] = {}
        self.published = KeySet([self.signs]).as_dict(private=False)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        # not the Space's own name: a browser keeps no ports apart where it keeps cookies
        self.url = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> "OAuthProvider":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What is said of signing in, beside what `on_a_space` says, in the environment of a Space that uses this."""
        return {"OAUTH_SCOPES": self.scopes, "OPENID_PROVIDER_URL": self.url, "SPACE_HOST": self.space_host}

    # Each answers with a status and a value, or with a status and the address to go to

    def metadata(self, *_: Any) -> tuple[int, Any]:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "userinfo",
                "jwks_uri": "jwks"}  # fmt: skip
        return 200, {
            "issuer": self.url, **{name: f"{self.url}/oauth/{end}" for name, end in ends.items()},
            "scopes_supported": ["openid", "profile", "email", "read-memberships"],
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }  # fmt: skip

    def authorize(self, asked: Mapping[str, str], _: Mapping[str, str]) -> tuple[int, Any]:
        back = asked.get("redirect_uri", "")
        if asked.get("client_id") != CLIENT or urlsplit(back).netloc != self.space_host:
            return 400, {"error": "invalid_request"}  # sent back to nobody else
        if asked.get("response_type") != "code" or not set(asked.get("scope", "").split()) <= set(self.scopes.split()):
            answer = {"error": "invalid_scope"}
        elif self.person is None:
            answer = {"error": "access_denied", "error_description": "The user denied the request"}
        else:
            answer = {"code": self._secret("")}
            self.codes[answer["code"]] = {**asked, "person": self.person}
        answer["state"] = asked.get("state", "")
        return 302, f"{back}{'&' if '?' in back else '?'}{urlencode(answer)}"

    def token(self, asked: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, Any]:
        known = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if headers.get("authorization") != f"Basic {known}":
            return 401, {"error": "invalid_client"}
        granted = self.codes.pop(asked.get("code", ""), None)
        if granted is None or asked.get("grant_type") != "authorization_code":
            return 400, {"error": "invalid_grant", "error_description": "The code is not known"}
        if asked.get("redirect_uri") != granted["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "Another redirect_uri"}
        access = self._secret("hf_oauth_")
        self.tokens[access] = claims = self._claims(granted)
        now = int(time.time())
        stamps = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 3600, "auth_time": now}
        whole = claims | stamps | {"nonce": granted["nonce"]} | self.bent
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, whole, self.signs)
        self.said.append(signed)
        return 200, {"access_token": access, "token_type": "bearer", "expires_in": _LASTS, "id_token": signed,
                     "scope": granted["scope"]}  # fmt: skip

    def userinfo(self, _: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, Any]:
        claims = self.tokens.get(headers.get("authorization", "").removeprefix("Bearer "))
        return (200, claims) if claims else (401, {"error": "invalid_token"})

    def jwks(self, *_: Any) -> tuple[int, Any]:
        return 200, self.published

    def _secret(self, prefix: str) -> str:
        self.said.append(prefix + secrets.token_urlsafe(32))
        return self.said[-1]

    @staticmethod
    def _claims(granted: Mapping[str, Any]) -> dict[str, Any]:
        """What is told of the person: with `read-memberships`, their roles."""
        told = dict(granted["person"])
        if "read-memberships" not in granted["scope"].split():
            told["orgs"] = [{name: value for name, value in org.items() if name != "roleInOrg"} for org in told["orgs"]]
        return told


_PATHS = {
    "GET /.well-known/openid-configuration": OAuthProvider.metadata,
    "GET /oauth/authorize": OAuthProvider.authorize,
    "POST /oauth/token": OAuthProvider.token,
    "GET /oauth/userinfo": OAuthProvider.userinfo,
    "GET /oauth/jwks": OAuthProvider.jwks,
}


class _Handler(http.server.BaseHTTPRequestHandler):
    def answer(self) -> None:
        provider: OAuthProvider = self.server.provider
        asked = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        what = f"{self.command} {asked.path}"
        provider.asked.append(what)
        if what not in _PATHS:
            self.send_error(404)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, value = _PATHS[what](provider, dict(parse_qsl(body or asked.query)), headers)
        self.send_response(status)
        if status == 302:
            self.send_header("location", value)
        self.send_header("content-type", "application/json")
        self.end_headers()
        if status != 302:
            self.wfile.write(json.dumps(value).encode())

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None: ...
