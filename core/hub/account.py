"""Account and token of the Hub: who a push acts as, and what the token may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import StudioError
from core.hub import client
from core.system import secret_masking

_WRITE = "repo.write"
# Names of a token's role in the answer of /api/whoami-v2.
_ROLES = {
    "read": "It may read, and not write.",
    "write": "It may write to the repositories of that account and its organizations.",
    "fineGrained": "Its access is fine-grained",
}
_UNKNOWN = "The Hub does not name its access; the push shows whether it may write."


@dataclass(frozen=True)
class Account:
    """The account that a token belongs to.

    Attributes:
        name: Name of the user or organization.
        organizations: The user's organizations.
        token: Name that the owner gave the token; empty if the Hub names none.
        role: "read", "write", "fineGrained", or another one that the Hub names; empty if it names none.
        writable: Owners and repositories that a fine-grained token may write to.
        source: Where the token is from, as a text for the user.
    """

    name: str
    organizations: tuple[str, ...]
    token: str
    role: str
    writable: tuple[str, ...]
    source: str

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any], source: str) -> "Account":
        """Read the answer of /api/whoami-v2.

        Args:
            answer: The answer.
            source: Where the token is from.
        """
        access = (answer.get("auth") or {}).get("accessToken") or {}
        scopes = (access.get("fineGrained") or {}).get("scoped") or []
        writable = [(each.get("entity") or {}).get("name") for each in scopes if _WRITE in each.get("permissions", [])]
        return cls(
            name=str(answer.get("name") or "unknown"),
            organizations=tuple(str(each.get("name")) for each in answer.get("orgs") or []),
            token=str(access.get("displayName") or ""),
            role=str(access.get("role") or ""),
            writable=tuple(str(name) for name in writable if name),
            source=source,
        )

    @property
    def is_read_only(self) -> bool:
        """Return whether the Hub says that the token may write nowhere."""
        return self.role == "read" or (self.role == "fineGrained" and not self.writable)

    def owns(self, repo: str) -> bool:
        """Return whether a repository's owner is this account or one of its organizations."""
        return repo.partition("/")[0] in (self.name, *self.organizations)

    def describe(self) -> str:
        """Return who this is and what the token may do."""
        named = f" {self.token!r}" if self.token else ""
        member = f", member of {', '.join(self.organizations)}" if self.organizations else ""
        if self.role == "fineGrained":
            may = f"it may write to {', '.join(self.writable)}." if self.writable else "it may write nowhere."
            rights = f"{_ROLES[self.role]}: {may}"
        else:
            rights = _ROLES.get(self.role, _UNKNOWN)
        return f"Account: {self.name}{member}. Token{named} from {self.source}. {rights}"

    def check_write(self) -> None:
        """Raise StudioError if the Hub says that the token may write nowhere."""
        if self.is_read_only:
            raise StudioError(
                f"The token may not do that: {self.describe()} {client.WRITE_TOKEN_ADVICE}, or type it on the page."
            )


def find_token(token: str | None) -> tuple[str, str]:
    """Return the token of a push and where it is from, and mask it from now on in whatever is shown.

    Args:
        token: A token that was typed; without one, that of the machine is taken.

    Raises:
        StudioError: There is none.
    """
    from huggingface_hub import get_token

    found = token or get_token()
    if not found:
        raise StudioError(f"A token with write access is needed. {client.WRITE_TOKEN_ADVICE}, or type it on the page.")
    secret_masking.mask_value(found)
    return found, "the form" if token else "this machine (HF_TOKEN or a login)"


def find_account(token: str | None = None, source: str | None = None) -> Account:
    """Ask the Hub whom a token belongs to.

    Args:
        token: The token; without one, that of the machine.
        source: Where a given token is from, if it was not typed.

    Raises:
        StudioError: There is no token, the Hub does not accept it, or it cannot be reached.
    """
    from huggingface_hub import HfApi

    found, known_source = find_token(token)
    with client.explained("address", "/api/whoami-v2", client.WRITE_TOKEN_ADVICE):
        return Account.from_answer(HfApi(token=found).whoami(), source or known_source)
