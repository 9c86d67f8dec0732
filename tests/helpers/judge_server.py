"""An OpenAI-compatible server on loopback whose model is a function of the test."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Result of the function: a reply's text, or (status, body as text, further headers) for any other response.
Reply = str | tuple[int, str] | tuple[int, str, dict[str, str]]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers.get("Authorization", ""))
        reply = self.server.answer(body)
        if isinstance(reply, str):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply}}
            reply = (
                200,
                json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}),
            )
        status, text, *more = reply
        self.send_response(status)
        for name, value in (more[0] if more else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        # Asks the client to try again soon.
        self.send_header("Retry-After-Ms", "1")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@contextmanager
def judge_server(answer: Callable[[dict], Reply]) -> Iterator[ThreadingHTTPServer]:
    """Serve until the block ends; `.url` is the base address, `.keys` holds the Authorization header of each request.

    Args:
        answer: Called with the body of each request.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.answer, server.keys, server.url = answer, [], f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def dripping_server(head: bytes, tail: bytes, seconds: float = 0.02) -> Iterator[str]:
    """Serve raw bytes until the block ends, and yield the base address.

    Args:
        head: What is sent at once to each connection.
        tail: What is sent after it, again and again, until the client has left.
        seconds: Time before each tail.
    """
    has_ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(head)
                while not has_ended.wait(seconds):
                    connection.sendall(tail)
            except OSError:
                # The client has left.
                return

    def accept(listening: socket.socket) -> None:
        while not has_ended.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            threading.Thread(target=drip, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        thread = threading.Thread(target=accept, args=(listening,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            has_ended.set()
            thread.join()
