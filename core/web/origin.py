"""Checks of where a request comes from: under which name the server was reached, and from a page of which site."""

import os
import re
from urllib.parse import urlsplit

from starlette.requests import Request

from core.access.roles import Way
from core.settings import Settings
from core.web.addresses import is_private_address

# A name with an optional port. Programs parse other characters in `Host` differently, so Gradio might read another name
# than the one that is checked here.
_HOST = re.compile(r"(?:[\w.~-]*|\[[\da-f:.]+\])(?::\d{1,5})?", re.ASCII | re.IGNORECASE)
# Linux has the same limit (PATH_MAX). Resolving a path takes a time that grows with the square of its length.
MAX_PATH_CHARACTERS = 4_096
# The address to which a sign-in returns has about 1,000.
_MAX_QUERY_BYTES = 8_192
# Empty, "." and ".." segments, characters that are encoded twice, and backslashes, the separator of Windows.
_OTHER_SPELLING = re.compile(r"//|/\.{1,2}(?:/|$)|[%\\]")
# h11, which reads the requests, accepts the same numbers; a longer number is no size.
_SIZE = re.compile(rb"[0-9]{1,20}")
HEARTBEAT_PREFIX = "/gradio_api/heartbeat/"
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class RefusalError(Exception):
    """A request that is not passed on, with its HTTP status and the reason."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


def check_origin(request: Request, way: Way, settings: Settings) -> None:
    """Check that a request names this server as its host and is not made by a page of another site.

    Args:
        request: The request.
        way: How the server knows its callers.
        settings: The studio's settings, with the names of the server.

    Raises:
        RefusalError: It names another host, or a page of another site made it.
    """
    host = request.headers.get("host", "")
    forwarded = request.headers.get("x-forwarded-host", "").split(",")[0].strip()
    if host_name(host) is None or host_name(forwarded) is None:
        raise RefusalError(400, "The host is not valid. Expected letters, digits, dots and hyphens, and a port.")
    ours = {name for name in (host, forwarded, *settings.known_hosts) if name}
    _check_host(host, forwarded, way, settings)
    site = request.headers.get("sec-fetch-site")
    if request.method in ("GET", "HEAD", "OPTIONS"):
        reads = request.url.path.startswith("/gradio_api/") and request.headers.get("sec-fetch-mode") != "navigate"
        if (reads or path_of(request) == "/logout") and site == "cross-site":
            raise RefusalError(403, "Pages of other sites may not read from here, nor sign anyone out.")
        return
    origin = request.headers.get("origin")
    is_foreign = site in ("cross-site", "same-site") if origin is None else origin.partition("://")[2] not in ours
    if is_foreign:
        raise RefusalError(403, "Pages of other sites may not call this server.")


def check_length(scope: dict) -> None:
    """Check that a request's path and query are short enough for all that resolve or parse them.

    Raises:
        RefusalError: The path or the query is too long.
    """
    path, query = len(scope["path"]), len(scope.get("query_string", b""))
    if path > MAX_PATH_CHARACTERS:
        raise RefusalError(
            414, f"This address has {path:,} characters, and at most {MAX_PATH_CHARACTERS:,} are read. Shorten it."
        )
    if query > _MAX_QUERY_BYTES:
        raise RefusalError(
            414, f"The query has {query:,} bytes, and at most {_MAX_QUERY_BYTES:,} are read. Shorten it."
        )


def declared_bytes(scope: dict) -> int | None:
    """Return the size that a request declares for its body; None if it declares none.

    Raises:
        RefusalError: It declares two sizes, or a size and chunks. Programs differ in which of them they use, so another
            body might be read than the one that is checked here (RFC 9112, section 6.3).
    """
    sizes = {value.strip() for name, value in scope["headers"] if name == b"content-length"}
    if not sizes:
        return None
    if len(sizes) > 1 or not _SIZE.fullmatch(size := sizes.pop()):
        raise RefusalError(400, "The content-length of this request is no single number. Send the size of its body.")
    if any(name == b"transfer-encoding" for name, _ in scope["headers"]):
        raise RefusalError(
            400, "This request has both a content-length and a transfer-encoding, so that its size is unclear. Send it "
            "with its content-length alone.",
        )  # fmt: skip
    return int(size)


def check_spelling(path: str) -> None:
    """Check that a path is spelled as the page spells it; each other spelling would be cached as an address of its own.

    Raises:
        RefusalError: The path is spelled in another way.
    """
    if _OTHER_SPELLING.search(path):
        raise RefusalError(404, "There is nothing here.")


def use_known_names(scope: dict, way: Way, settings: Settings) -> None:
    """Remove or replace unknown names of the server, because Gradio would build and cache a page for each of them.

    Args:
        scope: ASGI scope of a request whose origin was checked; its headers are changed.
        way: How the server knows its callers.
        settings: The studio's settings, with the names of the server.
    """
    known = {host_name(name) for name in settings.known_hosts}
    if not known:
        return
    space = os.environ.get("SPACE_HOST", "") if way is Way.SPACE else ""
    port = (scope.get("server") or ("", None))[1]
    local = {f"{name}{end}".encode() for name in ("localhost", "127.0.0.1", "[::1]") for end in ("", f":{port}")}
    headers = []
    for name, value in scope["headers"]:
        is_known = host_name(value.decode("latin-1").split(",")[0].strip()) in known
        if name == b"x-forwarded-host" and not is_known:
            continue
        # The platform probes a Space by addresses of its own network, and reads the status alone.
        is_probe = name == b"host" and space and not is_known and value.lower() not in local
        headers.append((name, space.encode() if is_probe else value))
    scope["headers"] = headers


def _check_host(host: str, forwarded: str, way: Way, settings: Settings) -> None:
    """Refuse names that are not the server's."""
    known = {host_name(name) for name in settings.known_hosts}
    # Against DNS rebinding: a foreign name that resolves to this machine must not make its page the owner.
    if way is Way.OWN_MACHINE and host_name(host) not in (*_LOCAL_NAMES, *known):
        raise RefusalError(
            403, f"This server's address is localhost, not {host[:80]!r}. Behind a proxy, set STUDIO_HOSTS "
            "to the names it is reached by, and STUDIO_PASSWORD unless the proxy asks for one.",
        )  # fmt: skip
    # Gradio writes the host into its pages. A Space's name is known, so no other one needs to be accepted.
    if way is Way.SPACE and os.environ.get("SPACE_HOST"):
        for name in filter(None, (host, forwarded)):
            # Without the ports of HTTP and HTTPS; a page for each other port would fill the cache.
            plain = name.lower().removesuffix(":443").removesuffix(":80")
            if plain not in settings.known_hosts and not _is_own_network(host_name(name) or ""):
                raise RefusalError(
                    403, f"This Space is not reached as {name[:80]!r}. Open it by its own address; for a domain of "
                    "your own, set STUDIO_HOSTS to its name.",
                )  # fmt: skip


def _is_own_network(name: str) -> bool:
    """Return whether a host is this machine or an address of its network, by which the platform probes a Space."""
    return name == "localhost" or is_private_address(name)


def path_of(request: Request) -> str:
    """Return the path without the prefix of a proxy."""
    path, root = request.scope["path"], request.scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def host_name(host: str) -> str | None:
    """Return a host without its port; None if it is not a valid host."""
    try:
        split = urlsplit(f"//{host}")
        return (split.hostname or "") if _HOST.fullmatch(host) and split.port != 0 else None
    # A port above 65535, or brackets around what is no address.
    except ValueError:
        return None
