"""Names on the Hugging Face Hub, and conversion of its errors into messages that users can act on."""

import contextlib
import re
from collections.abc import Iterator

from core.errors import StudioError, reason_of

_ADVICE = (
    "Create a token with {} access at huggingface.co/settings/tokens, set it as HF_TOKEN in the environment "
    "(on a Space: as a secret), and restart the studio"
)
TOKEN_ADVICE = _ADVICE.format("read")
WRITE_TOKEN_ADVICE = _ADVICE.format("write")

# HTTP statuses from here on are faults of the server.
_SERVER_ERROR = 500

# owner/name as the Hub allows it; it forbids "--" and ".." as well.
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form of a Hub id, owner/name."""
    return bool(_HUB_ID.fullmatch(name)) and ".." not in name and "--" not in name


# As git allows it, without the names that the Hub gives itself (refs/pr/1).
_BRANCH = re.compile(r"(?!refs/)[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")


def is_branch(name: str) -> bool:
    """Return whether a branch can have a name."""
    return bool(_BRANCH.fullmatch(name)) and ".." not in name and not name.endswith((".", ".lock"))


@contextlib.contextmanager
def explained(what: str, name: str, advice: str = TOKEN_ADVICE, has_token: bool | None = None) -> Iterator[None]:
    """Convert the Hub's exceptions within the with statement into StudioError.

    Args:
        what: Kind of the repository ("dataset", "model"), for the message.
        name: Its id.
        advice: How to get a token with the access that is needed.
        has_token: Whether a token was sent; None if it is that of the machine, which may have none.
    """
    try:
        yield
    except StudioError:
        raise
    except Exception as error:
        message = explanation(error, what, name, advice, has_token)
        if message is None:
            raise
        raise StudioError(message) from error


def explanation(
    error: BaseException, what: str, name: str, advice: str = TOKEN_ADVICE, has_token: bool | None = None
) -> str | None:
    """Return the message for a Hub error in the chain of causes of `error`; None if there is no Hub error.

    Args:
        error: The exception.
        what: Kind of the repository, for the message.
        name: Its id.
        advice: How to get a token with the access that is needed.
        has_token: Whether a token was sent; None if it is that of the machine, which may have none.
    """
    return next((found for each in _causes(error) if (found := _sentence(each, what, name, advice, has_token))), None)


def broken_reason(error: BaseException) -> str | None:
    """Return why a transfer broke off, as a part of a sentence, if it may be repeated; None for any other error."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    for each in _causes(error):
        if isinstance(each, OfflineModeIsEnabled):
            return "the Hub is not asked, because HF_HUB_OFFLINE is set"
        if is_connection(each):
            return "the Hub cannot be reached, or the connection was lost"
        status = getattr(getattr(each, "response", None), "status_code", None)
        if status is not None and status >= _SERVER_ERROR:
            return f"the Hub answered with status {status}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that led to it; chains of exceptions can be circular."""
    seen = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _sentence(error: BaseException, what: str, name: str, advice: str, has_token: bool | None) -> str | None:
    from huggingface_hub import constants, errors, get_token

    thing = f"The {what} {name!r}"
    if has_token is None:
        has_token = get_token() is not None
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        page = f"{constants.ENDPOINT}/{'datasets/' if what == 'dataset' else ''}{name}"
        if has_token:
            return f"{thing} is gated, and the token has no access. Accept its terms at {page}, then try again."
        return f"{thing} is gated, and no token is set. Accept its terms at {page}. {advice}."
    if isinstance(error, errors.RepositoryNotFoundError):
        if has_token:
            return f"{thing} was not found on the Hub, or the token may not read it. Check the spelling (owner/name)."
        return f"{thing} was not found on the Hub. Check the spelling (owner/name). If it is private: {advice}."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{thing} has no such revision. Use a branch, a tag or a commit that its Hub page lists."
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{thing} lacks a file that is needed ({reason_of(error)}). Choose another {what}."
    if isinstance(error, (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)) or is_connection(error):
        return (
            f"{thing} could not be fetched: the Hub cannot be reached from here, and there is no local copy. "
            "Check the network, or use what is already on this machine."
        )
    if status == 403:
        return (
            f"{thing}: the token may not do that. To write, use your own name or an organization of yours before the "
            "slash, and a token with write access."
        )
    if status == 401:
        return f"{thing}: the Hub does not accept the token. {advice}."
    if status is not None:
        return f"{thing}: the Hub answered with status {status}. Try again later."
    return None


def is_connection(error: BaseException) -> bool:
    """Return whether an error comes from the network, and is no answer of the Hub."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    # The HTTP client of huggingface_hub is httpx in some versions and a copy under another name in others, so its error
    # is recognized by name.
    return any(c.__name__ == "TransportError" and c.__module__.startswith("httpx") for c in type(error).__mro__)
