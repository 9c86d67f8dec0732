"""Addresses to listen at: those that only this machine reaches, and a check whether a port is free."""

import socket

from core.errors import StudioError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_port(host: str, port: int) -> None:
    """Check that this process can listen at `host` and `port`.

    Raises:
        StudioError: The process cannot listen there, for example because another program does.
    """
    if not 0 <= port <= 65535:
        raise StudioError(f"There is no port {port}. Give one from 1 to 65535 with --port.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except (OSError, OverflowError, UnicodeError) as error:
        raise StudioError(
            f"Cannot listen at {host} port {port}: {error}. Stop the program that uses this port, or choose another "
            "address with --host or --port."
        ) from error
