"""The app in a process of its own, for the script that takes the pictures of the documents."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# The variables that Hugging Face sets for a Space of the user keeper with hf_oauth; no one signs in.
SPACE = {
    "SYSTEM": "spaces", "SPACE_ID": "keeper/studio", "SPACE_AUTHOR_NAME": "keeper", "OAUTH_CLIENT_ID": "pictures",
    "OAUTH_CLIENT_SECRET": "pictures", "OAUTH_SCOPES": "openid profile", "OPENID_PROVIDER_URL": "http://127.0.0.1:9",
}  # fmt: skip


@contextlib.contextmanager
def served(home: Path, **environment: str) -> Iterator[str]:
    """Serve a home folder, and yield the app's address."""
    server, url = serve(home, environment)
    try:
        yield url
    finally:
        server.terminate()
        server.wait()


def serve(home: Path, environment: dict[str, str]) -> tuple[subprocess.Popen, str]:
    """Start the app on a free port, and return its process and address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(PROJECT / "app.py"), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, cwd=PROJECT, env=os.environ | {"STUDIO_HOME": str(home)} | environment)
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).read(1)
            return server, url
        except OSError:
            time.sleep(0.2)
