"""A request of the page, as handlers of the API's switch get it, and the key in what they show."""

import re
from types import SimpleNamespace

from starlette.requests import Request

_SCOPE = {
    "type": "http", "method": "POST", "scheme": "http", "path": "/gradio_api/queue/join", "query_string": b"",
    "headers": [(b"host", b"localhost:7860")], "server": ("localhost", 7860),
}  # fmt: skip
REQUEST = SimpleNamespace(request=Request(_SCOPE))


def key_of(shown):
    """Return the key that a handler shows."""
    return re.search(r"sk-studio-[\w-]+", shown["about"]).group()
