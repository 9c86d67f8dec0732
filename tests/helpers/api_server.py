"""The API's server in a thread, over a real engine, with OpenAI's own client."""

import threading
import time

from openai import OpenAI

from core.chat.engine import Engine
from core.serve.served_models import ServedModels
from core.serve.server import make_server
from tests.helpers.ports import reserve_port


class ApiServer:
    """A server on loopback that serves chosen runs.

    Attributes:
        engine: Its engine.
        server: uvicorn's server.
        url: The base address for clients.
    """

    def __init__(self, settings, run_ids=()):
        self.engine = Engine(settings)
        port = reserve_port()
        models = ServedModels(self.engine.store, run_ids)
        self.server = make_server(settings, self.engine, models, "127.0.0.1", port)
        self.root, self.url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/v1"
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        while not self.server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)

    def client(self, key="none"):
        """Return OpenAI's client, which tries each request once."""
        return OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=60)

    def close(self):
        """Stop the server."""
        self.server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()
