"""Server of the tests' forks: a process that was killed while it asked for a fork must not end the server."""

import socket

import pytest


@pytest.mark.parametrize("sent", [b"", b'{"module": '])
def test_request_that_was_cut_off_leaves_the_server_running(fork_server, sent):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(fork_server.address)
        connection.sendall(sent)
    code, out, _ = fork_server.run("this")
    assert code == 0
    assert "Beautiful is better than ugly." in out
