"""Hugging Face's OpenID Connect provider on loopback, as Gradio and Authlib use it on a Space.

It follows the Hub's documentation and clients: metadata, authorization with a code that can be used once, a token for
client id and secret, an ID token signed with RS256, its public keys, and userinfo. There is no consent page: `account`
is signed in at once, and None declines. Roles in organizations are included with the scope `read-memberships`.
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

_TOKEN_SECONDS = 8 * 3600


def claims_of(name: str, **roles: str) -> dict[str, Any]:
    """Return the claims of an account, with its role in each organization."""
    organizations = [
        {"sub": f"{number:024x}", "name": f"The people of {org}", "preferred_username": org, "isEnterprise": False,
         "picture": f"https://cdn-avatars.huggingface.co/v1/production/uploads/{number:024x}/{'p' * 21}.png",
         "roleInOrg": role} for number, (org, role) in enumerate(roles.items())
    ]  # fmt: skip
    return {
        "sub": name.encode().hex().ljust(24, "0"), "name": f"{name} of the coast", "preferred_username": name,
        "profile": f"https://huggingface.co/{name}", "picture": "https://huggingface.co/avatars/0.svg", "website": "",
        "isPro": False, "orgs": organizations,
    }  # fmt: skip


class OAuthProvider:
    """The provider, listening in threads.

    Attributes:
        account: Claims of the account that signs in; None declines.
        requests: Method and path of every request, in order.
        issued_secrets: Every code, access token and ID token.
        signing_key: Signs ID tokens; only its first value is published.
        claim_overrides: Wrong claims that an ID token has in place of the right ones.
    """

    def __init__(self, space_host: str, scopes: str):
        self.space_host, self.scopes = space_host, scopes
        self.account: dict[str, Any] | None = None
        self.requests: list[str] = []
        self.issued_secrets: list[str] = []
        self.codes: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.signing_key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self.claim_overrides: dict[str, Any] = {}
        self.published = KeySet([self.signing_key]).as_dict(private=False)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        # Another name than the Space's, because cookies are shared between the ports of a host.
        self.url = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> "OAuthProvider":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables of a Space that signs in with this provider."""
        return {"OAUTH_SCOPES": self.scopes, "OPENID_PROVIDER_URL": self.url, "SPACE_HOST": self.space_host}

    # Each endpoint returns a status with a JSON value, or 302 with the address to redirect to.

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

    def authorize(self, query: Mapping[str, str], _: Mapping[str, str]) -> tuple[int, Any]:
        back = query.get("redirect_uri", "")
        if query.get("client_id") != CLIENT or urlsplit(back).netloc != self.space_host:
            # Redirecting elsewhere would give the code to another site.
            return 400, {"error": "invalid_request"}
        if query.get("response_type") != "code" or not set(query.get("scope", "").split()) <= set(self.scopes.split()):
            answer = {"error": "invalid_scope"}
        elif self.account is None:
            answer = {"error": "access_denied", "error_description": "The user denied the request"}
        else:
            answer = {"code": self._secret("")}
            self.codes[answer["code"]] = {**query, "account": self.account}
        answer["state"] = query.get("state", "")
        return 302, f"{back}{'&' if '?' in back else '?'}{urlencode(answer)}"

    def token(self, query: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, Any]:
        known = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if headers.get("authorization") != f"Basic {known}":
            return 401, {"error": "invalid_client"}
        granted = self.codes.pop(query.get("code", ""), None)
        if granted is None or query.get("grant_type") != "authorization_code":
            return 400, {"error": "invalid_grant", "error_description": "The code is not known"}
        if query.get("redirect_uri") != granted["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "Another redirect_uri"}
        access = self._secret("hf_oauth_")
        self.tokens[access] = claims = self._claims(granted)
        now = int(time.time())
        stamps = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 3600, "auth_time": now}
        whole = claims | stamps | {"nonce": granted["nonce"]} | self.claim_overrides
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, whole, self.signing_key)
        self.issued_secrets.append(signed)
        return 200, {"access_token": access, "token_type": "bearer", "expires_in": _TOKEN_SECONDS, "id_token": signed,
                     "scope": granted["scope"]}  # fmt: skip

    def userinfo(self, _: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, Any]:
        claims = self.tokens.get(headers.get("authorization", "").removeprefix("Bearer "))
        return (200, claims) if claims else (401, {"error": "invalid_token"})

    def jwks(self, *_: Any) -> tuple[int, Any]:
        return 200, self.published

    def _secret(self, prefix: str) -> str:
        self.issued_secrets.append(prefix + secrets.token_urlsafe(32))
        return self.issued_secrets[-1]

    @staticmethod
    def _claims(granted: Mapping[str, Any]) -> dict[str, Any]:
        """Return the account's claims; its roles only with the scope `read-memberships`."""
        claims = dict(granted["account"])
        if "read-memberships" not in granted["scope"].split():
            claims["orgs"] = [
                {name: value for name, value in org.items() if name != "roleInOrg"} for org in claims["orgs"]
            ]
        return claims


_PATHS = {
    "GET /.well-known/openid-configuration": OAuthProvider.metadata,
    "GET /oauth/authorize": OAuthProvider.authorize,
    "POST /oauth/token": OAuthProvider.token,
    "GET /oauth/userinfo": OAuthProvider.userinfo,
    "GET /oauth/jwks": OAuthProvider.jwks,
}


class _Handler(http.server.BaseHTTPRequestHandler):
    def answer(self) -> None:
        """Answer a request to any endpoint."""
        provider: OAuthProvider = self.server.provider
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        route = f"{self.command} {url.path}"
        provider.requests.append(route)
        if route not in _PATHS:
            self.send_error(404)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, value = _PATHS[route](provider, dict(parse_qsl(body or url.query)), headers)
        self.send_response(status)
        if status == 302:
            self.send_header("location", value)
        self.send_header("content-type", "application/json")
        self.end_headers()
        if status != 302:
            self.wfile.write(json.dumps(value).encode())

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None: ...
