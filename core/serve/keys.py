"""The key of the API: only its hash is kept, in memory, and it is compared in constant time."""

import asyncio
import hashlib
import hmac
import math
import secrets

from starlette.requests import Request

from core.errors import StudioError
from core.serve.errors import ApiError
from core.web.sign_in import SignInThrottle, address_of

# The variable of the key; `core.system.secret_masking` masks its value wherever it would be printed.
KEY_VARIABLE = "STUDIO_API_KEY"
MIN_KEY_CHARACTERS = 16
# Tokens of this form are masked in all logs.
_PREFIX = "sk-studio-"
_WRONG = "The key is missing or wrong. Send it as the header Authorization: Bearer KEY."


def make_key() -> str:
    """Return a new random key."""
    return f"{_PREFIX}{secrets.token_urlsafe(32)}"


class ApiKey:
    """A key, and the throttle of wrong ones."""

    def __init__(self, key: str, behind_proxy: bool = False):
        """Keep the hash of a key.

        Args:
            key: The key.
            behind_proxy: Whether the address of a caller is in a proxy's header.

        Raises:
            StudioError: The key is so short that it can be guessed.
        """
        if len(key) < MIN_KEY_CHARACTERS:
            raise StudioError(
                f"The key of the API has {len(key)} characters, expected at least {MIN_KEY_CHARACTERS}. Set "
                f"{KEY_VARIABLE} to a long random text."
            )
        self._digest, self._behind_proxy = _digest(key), behind_proxy
        self._throttle = SignInThrottle()

    async def check(self, request: Request) -> None:
        """Check that a request has the key.

        Raises:
            ApiError: It has none or another one, or its address has sent too many wrong ones lately.
        """
        address, is_shared = address_of(request.scope, self._behind_proxy)
        # Callers behind the same proxy must not lock each other out.
        wait = 0.0 if is_shared else self._throttle.wait_seconds(address)
        if wait:
            raise ApiError(429, f"Too many wrong keys came from your address. Try again in {math.ceil(wait)} seconds.")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(_digest(given.strip()), self._digest):
            self._throttle.succeed(address)
            return
        await asyncio.sleep(self._throttle.begin(address))
        raise ApiError(401, _WRONG, code="invalid_api_key")


def _digest(key: str) -> bytes:
    """Return a hash of fixed length, so that a comparison shows nothing of the key's length either."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
