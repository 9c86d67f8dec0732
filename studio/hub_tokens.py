"""Tokens of owners who signed in with Hugging Face on a Space, for pushes that they start.

A token is kept in this process's memory only: never in the cookie, on the disk or in the log. It is kept if the caller
is an owner and granted the Space a right to repositories, which the Space asks for with `hf_oauth_scopes`. A restart of
the server forgets it; the owner then signs in again.
"""

import time
from collections.abc import Mapping
from typing import Any

from core.access import roles
from core.access.roles import Access
from core.system import secret_masking

# Scopes of Hugging Face's OAuth with which repositories can be created or changed.
WRITE_SCOPES = frozenset({"contribute-repos", "write-repos", "manage-repos"})
# Token and time of its end, in seconds since the epoch, by account.
_tokens: dict[str, tuple[str, float]] = {}


def keep(access: Access, info: Mapping[str, Any]) -> None:
    """Keep the token of a sign-in, if an owner may push with it; a sign-in without that right forgets an older one.

    Args:
        access: How the server identifies callers.
        info: What Hugging Face answered: access_token, scope, expires_at, userinfo.
    """
    caller = access.who({"oauth_info": info}, None, "")
    token = info.get("access_token")
    if not isinstance(token, str) or not caller.is_owner or not caller.account:
        return
    if WRITE_SCOPES.isdisjoint(str(info.get("scope") or "").split()):
        _tokens.pop(caller.account, None)
        return
    secret_masking.mask_value(token)
    _tokens[caller.account] = (token, float(info.get("expires_at") or 0))


def find() -> str | None:
    """Return the token of the caller, who is signed in; None if there is none or it has expired."""
    account = roles.caller().account
    token, end = _tokens.get(account, ("", 0.0))
    if token and end <= time.time():
        del _tokens[account]
        return None
    return token or None
