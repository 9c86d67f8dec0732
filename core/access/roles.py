"""Who is asking, and what they may see: the one place that decides it.

A server knows its people in one of three ways:

    own machine   loopback without a password: whoever reaches it is the owner
    password      STUDIO_PASSWORD: its holder is the owner, and there is nobody else
    space         a Hugging Face Space: its author, or a member of its organisation, who signed in is the owner; all
                  others are visitors

Whoever asks is put into a context variable while their call runs (`acting`). The lists of runs and data sets look
there, so that no handler can forget to. Work of the studio's own (a worker, the command line) asks for nobody, and
sees all.
"""

import contextlib
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

from core.errors import StudioError
from core.settings import Settings, on_space


class Role(StrEnum):
    OWNER = "owner"
    VISITOR = "visitor"
    NOBODY = "nobody"  # has not given the password


class Way(StrEnum):
    """How a server knows its people."""

    OWN_MACHINE = "own machine"
    PASSWORD = "password"
    SPACE = "space"


@dataclass(frozen=True)
class Caller:
    """Whoever asks.

    Attributes:
        name: tells callers apart, for quotas and for what is theirs; a visitor without a name shares theirs with all
            others without one.
        before: the name of the same browser before somebody signed in there, where it had one.
    """

    role: Role
    name: str
    before: str = ""

    @property
    def is_owner(self) -> bool:
        return self.role is Role.OWNER

    @property
    def account(self) -> str:
        """The name of the account that is signed in with Hugging Face; empty for everybody else."""
        return self.name.removeprefix(_USER) if self.name.startswith(_USER) else ""


_USER = "user "  # begins the name of a caller who is signed in
_KEPT_EXPORTS = 300  # of visitors, the newest
STUDIO = Caller(Role.OWNER, "the studio itself")
_caller: ContextVar[Caller] = ContextVar("caller", default=STUDIO)


def caller() -> Caller:
    """Whoever the present call is for."""
    return _caller.get()


@contextlib.contextmanager
def acting(who: Caller) -> Iterator[None]:
    token = _caller.set(who)
    try:
        yield
    finally:
        _caller.reset(token)


def said(owner: str, visitor: str) -> str:
    """What a place says to the present caller, who may be one that cannot do what an owner is told to do there."""
    return owner if caller().is_owner else visitor


def owner_only(what: str) -> None:
    """Raises StudioError for anybody else."""
    if not caller().is_owner:
        raise StudioError(f"{what} is the owner's. {CLOSED}")


def exports(settings: Settings) -> Path:
    """Where a file made for the caller is put: exports for the owner, a folder that nobody can guess for a visitor."""
    if caller().is_owner:
        return settings.exports_dir
    folder = settings.exports_dir / "visitors" / secrets.token_hex(16)
    folder.mkdir(parents=True)
    for old in sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT_EXPORTS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


CLOSED = "Visitors read what is published, chat with it, and vote. To do more, duplicate this Space or run your own."


@dataclass(frozen=True)
class Access:
    """Attributes: author: the user or organisation that a Space belongs to; oauth: whether people can sign in."""

    way: Way
    author: str = ""
    oauth: bool = False

    @classmethod
    def of(cls, settings: Settings, environment: Mapping[str, str] = os.environ) -> "Access":
        if settings.password:
            return cls(Way.PASSWORD)
        if on_space():
            # an empty secret would sign cookies that anybody can make
            named = all(environment.get(name) for name in _OAUTH)
            author = environment.get("SPACE_AUTHOR_NAME", "") or environment.get("SPACE_ID", "").partition("/")[0]
            return cls(Way.SPACE, author, named)
        return cls(Way.OWN_MACHINE)

    def who(self, session: Mapping[str, Any] | None, user: str | None, cookie: str) -> Caller:
        """The caller of a request.

        Args:
            session: what the server itself signed into the browser's session cookie; None where there are no sessions.
            user: whom the password let in.
            cookie: the random name that a visitor's browser was given; only tells visitors apart.
        """
        if self.way is Way.OWN_MACHINE:
            return Caller(Role.OWNER, "owner")
        if self.way is Way.PASSWORD:
            return Caller(Role.OWNER, user) if user else Caller(Role.NOBODY, "")
        person = _signed_in(session) if self.oauth else None
        browser = f"browser {cookie}" if cookie else ""
        if person is None:
            return Caller(Role.VISITOR, browser)
        name = str(person.get("preferred_username") or "")
        is_owner = bool(self.author) and self.author in {name, *_organisations(person)}
        return Caller(Role.OWNER if is_owner else Role.VISITOR, f"{_USER}{name}", browser)

    def kept(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """What of a sign-in stays in the browser's cookie: what `who` asks of it.

        Hugging Face's tokens stay nowhere: nothing here needs them, and whoever reads a cookie would have them. Nor do
        all organisations of a person: a browser drops a cookie of more than 4 KiB, which three of them fill.
        """
        person = info.get("userinfo")
        if not isinstance(person, Mapping):
            return {}
        writes = [{"preferred_username": self.author, "roleInOrg": _MAY_WRITE[0]}]
        orgs = writes if self.author in _organisations(person) else []
        known = {"preferred_username": person.get("preferred_username"), "orgs": orgs}
        return {"userinfo": known, "expires_at": info.get("expires_at")}


_MAY_WRITE = ("write", "admin")
_OAUTH = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")


def _signed_in(session: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What Hugging Face said of the person who signed in, while that holds."""
    info = (session or {}).get("oauth_info")
    if not isinstance(info, Mapping) or not isinstance(info.get("userinfo"), Mapping):
        return None
    expires = info.get("expires_at")
    if expires is not None and expires < time.time():
        return None
    return info["userinfo"]


def _organisations(person: Mapping[str, Any]) -> list[str]:
    """Those whose repositories, this Space among them, the person can write.

    A role is told where the person agreed to that. Without it they may be a reader as well; a contributor can only
    write what is their own.
    """
    listed = person.get("orgs") or []
    return [
        str(one.get("preferred_username") or "")
        for one in listed
        if isinstance(one, Mapping) and one.get("roleInOrg") in _MAY_WRITE
    ]
