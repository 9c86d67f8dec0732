"""A proxy on loopback before the real app: one that serves it under a path, or one with TLS as a Space has it."""

import datetime
import http.server
import ipaddress
import ssl
import sys
import threading
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_OWN = {"host", "connection", "transfer-encoding"}


class ProxyServer:
    """Attributes: target: the app's address, set once it is known; certificate: what a client has to trust."""

    def __init__(self, prefix: str = "", tls_in: Path | None = None):
        """Listen.

        Args:
            prefix: the path that the app is served under, taken away before the app is asked.
            tls_in: a folder for the certificate; with it the front speaks TLS and passes the host's name on as it is.
        """
        self.prefix, self.target = prefix, ""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.front = self
        self.scheme, name = ("https", "127.0.0.1") if tls_in else ("http", "localhost")
        self.host = f"{name}:{self._server.server_port}"
        self.url = f"{self.scheme}://{self.host}{prefix}"
        if tls_in:
            self.certificate = _certificate(tls_in)
            speaks = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            speaks.load_cert_chain(self.certificate)
            # shaken hands with in the connection's own thread: one that says nothing must not hold up the others
            self._server.socket = speaks.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )

    def __enter__(self) -> "ProxyServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    front: ProxyServer

    def handle_error(self, *address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # a browser that has left
            super().handle_error(*address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self) -> None:
        front: ProxyServer = self.server.front
        if not self.path.startswith(front.prefix):
            self.send_error(404)
            return
        size = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() not in _OWN}
        headers |= {"x-forwarded-proto": front.scheme, "x-forwarded-for": "203.0.113.9",
                    "host" if front.scheme == "https" else "x-forwarded-host": self.headers["host"]}  # fmt: skip
        headers.setdefault("accept-encoding", "identity")  # httpx would ask for what it reads, the client may not
        # a client each: one for all would keep the cookies of all
        asked = {"content": self.rfile.read(size), "headers": headers, "timeout": 60, "verify": False}
        url = front.target + (self.path.removeprefix(front.prefix) or "/")
        with httpx.stream(self.command, url, **asked) as answer:
            self.send_response_only(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name.lower() not in _OWN:
                    self.send_header(name, value)
            if "content-length" not in answer.headers:
                self.send_header("connection", "close")
            self.end_headers()
            for part in answer.iter_raw():
                self.wfile.write(part)
                self.wfile.flush()

    do_GET = do_POST = do_HEAD = forward

    def log_message(self, *_: object) -> None: ...


def _certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1, signed by itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "front.pem"
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return path
