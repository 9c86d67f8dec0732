"""Ports for servers of tests that run beside each other in several processes.

A port that the kernel chooses is free again until the server listens: another test's server can get the same one, or an
outgoing connection can take it. Here a port is below those that the kernel chooses, and reserved until this process
ends, by an abstract Unix socket of its name.
"""

import random
import socket

_PORTS = range(20_000, 30_000)
_reservations: list[socket.socket] = []


def reserve_port() -> int:
    """Return a free port of loopback that no other test uses as long as this process lives."""
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0qlora-studio-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        _reservations.append(reservation)
        return port
    raise AssertionError(f"no port from {_PORTS.start} to {_PORTS.stop} is free")
