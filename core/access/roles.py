"""Roles of callers: the only place that decides who is the owner and who a visitor.

A server identifies its callers in one of three ways:

    own machine   loopback without a password: everyone who reaches it is the owner
    password      STUDIO_PASSWORD: everyone who knows the password is the owner; there are no visitors
    space         a Hugging Face Space: its author, and everyone who may write to the repositories of its organization,
                  is the owner after signing in; all others are visitors

The caller is kept in a context variable while their call runs (`acting`). The lists of runs and datasets read it, so
that no handler can forget the check. The studio's own processes (a worker, the command line) act as the owner.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.access.fair_share import surplus_files
from core.errors import StudioError
from core.settings import Settings, on_space


class Role(StrEnum):
    """Role of a caller; SIGNED_OUT has not entered the password yet."""

    OWNER = "owner"
    VISITOR = "visitor"
    SIGNED_OUT = "signed out"


class Way(StrEnum):
    """Way in which a server identifies its callers."""

    OWN_MACHINE = "own machine"
    PASSWORD = "password"
    SPACE = "space"


@dataclass(frozen=True)
class Caller:
    """Caller of a request.

    Attributes:
        role: The caller's role.
        name: Identifies the caller for quotas and ownership; all visitors without a name share one quota.
        before: Name of the same browser before the caller signed in, if it had one.
    """

    role: Role
    name: str
    before: str = ""

    @property
    def is_owner(self) -> bool:
        """Return whether the caller is the owner."""
        return self.role is Role.OWNER

    @property
    def hashed_name(self) -> str:
        """Return a hash of the name, to store with a visitor's files; it shows neither an account nor a cookie."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:_HASH_CHARACTERS]

    @property
    def account(self) -> str:
        """Return the Hugging Face account that is signed in; empty if there is none."""
        return self.name.removeprefix(_USER) if self.name.startswith(_USER) else ""


# Starts the name of a caller who is signed in.
_USER = "user "
_HASH_CHARACTERS = 16
_MAX_EXPORTS_OF_A_VISITOR, _MAX_VISITOR_EXPORTS = 20, 300
STUDIO = Caller(Role.OWNER, "the studio itself")
_caller: ContextVar[Caller] = ContextVar("caller", default=STUDIO)


def caller() -> Caller:
    """Return the caller of the current request."""
    return _caller.get()


@contextlib.contextmanager
def acting(who: Caller) -> Iterator[None]:
    """Run the body of the with statement on behalf of a caller."""
    token = _caller.set(who)
    try:
        yield
    finally:
        _caller.reset(token)


def text_for_caller(owner: str, visitor: str) -> str:
    """Return the text for the current caller's role."""
    return owner if caller().is_owner else visitor


def owner_only(action: str) -> None:
    """Refuse visitors.

    Args:
        action: The refused action for the message, a verb with its object ("start a run").

    Raises:
        StudioError: The caller is not the owner.
    """
    if not caller().is_owner:
        raise StudioError(f"Only the owner can {action}. {CLOSED}")


def exports(settings: Settings) -> Path:
    """Return the folder for a file made for the caller: for a visitor, one whose name cannot be guessed."""
    if caller().is_owner:
        return settings.exports_dir
    folder = settings.exports_dir / "visitors" / f"{secrets.token_hex(16)}-{caller().hashed_name}"
    folder.mkdir(parents=True)
    for old in surplus_files(folder.parent.iterdir(), _MAX_EXPORTS_OF_A_VISITOR, _MAX_VISITOR_EXPORTS):
        shutil.rmtree(old, ignore_errors=True)
    return folder


CLOSED = (
    "Visitors can read what is published, chat with it, and vote. To do more, duplicate this Space or run your own."
)


@dataclass(frozen=True)
class Access:
    """Identification of callers on one server.

    Attributes:
        way: How callers are identified.
        author: User or organization that the Space belongs to.
        oauth: Whether callers can sign in with Hugging Face.
    """

    way: Way
    author: str = ""
    oauth: bool = False

    @classmethod
    def of(cls, settings: Settings, environment: Mapping[str, str] = os.environ) -> "Access":
        """Return the identification that the settings and the environment ask for."""
        if settings.password:
            return cls(Way.PASSWORD)
        if on_space():
            # All must be set: anyone could forge session cookies that are signed with an empty secret.
            oauth = all(environment.get(name) for name in _OAUTH)
            author = environment.get("SPACE_AUTHOR_NAME", "") or environment.get("SPACE_ID", "").partition("/")[0]
            return cls(Way.SPACE, author, oauth)
        return cls(Way.OWN_MACHINE)

    def who(self, session: Mapping[str, Any] | None, user: str | None, cookie: str) -> Caller:
        """Return the caller of a request.

        Args:
            session: Content of the session cookie, signed by the server; None if there are no sessions.
            user: User that the password admitted.
            cookie: Random name that the visitor's browser was given; it only distinguishes visitors.
        """
        if self.way is Way.OWN_MACHINE:
            return Caller(Role.OWNER, "owner")
        if self.way is Way.PASSWORD:
            return Caller(Role.OWNER, user) if user else Caller(Role.SIGNED_OUT, "")
        person = _signed_in(session) if self.oauth else None
        browser = f"browser {cookie}" if cookie else ""
        if person is None:
            return Caller(Role.VISITOR, browser)
        name = str(person.get("preferred_username") or "")
        is_owner = bool(self.author) and self.author in {name, *_organizations(person)}
        return Caller(Role.OWNER if is_owner else Role.VISITOR, f"{_USER}{name}", browser)

    def session_part(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of a sign-in to keep in the session cookie, which is what `who` reads.

        Hugging Face's tokens are dropped, because anyone who reads the cookie would have them.
        Of the account's organizations only the Space's is kept: browsers drop cookies of more than 4 KiB, which three
        organizations can fill.
        """
        person = info.get("userinfo")
        if not isinstance(person, Mapping):
            return {}
        writes = [{"preferred_username": self.author, "roleInOrg": _MAY_WRITE[0]}]
        orgs = writes if self.author in _organizations(person) else []
        known = {"preferred_username": person.get("preferred_username"), "orgs": orgs}
        return {"userinfo": known, "expires_at": info.get("expires_at")}


_MAY_WRITE = ("write", "admin")
_OAUTH = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")


def _signed_in(session: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the user info of the signed-in account; None if there is none or it has expired."""
    info = (session or {}).get("oauth_info")
    if not isinstance(info, Mapping) or not isinstance(info.get("userinfo"), Mapping):
        return None
    expires = info.get("expires_at")
    if expires is not None and expires < time.time():
        return None
    return info["userinfo"]


def _organizations(person: Mapping[str, Any]) -> list[str]:
    """Return the organizations whose repositories the account can write.

    The role is known only if the account agreed to share it. Without a role the account may be only a reader, and a
    contributor can write only their own repositories, so neither counts.
    """
    listed = person.get("orgs") or []
    return [
        str(one.get("preferred_username") or "")
        for one in listed
        if isinstance(one, Mapping) and one.get("roleInOrg") in _MAY_WRITE
    ]
