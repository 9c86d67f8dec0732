"""A reverse proxy on loopback: it serves the app under a path, or with TLS as a Space does."""

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

# Headers of one connection, which a proxy does not pass on.
_HOP_HEADERS = {"host", "connection", "transfer-encoding"}


class ProxyServer:
    """A proxy that listens in threads.

    Attributes:
        target: The app's address, set once it is known.
        url: The proxy's own address, with the path.
        certificate: The file that a client has to trust; only with TLS.
    """

    def __init__(self, prefix: str = "", tls_in: Path | None = None):
        """Listen on a free port.

        Args:
            prefix: The path that the app is served under; removed before a request is passed on.
            tls_in: A folder for the certificate; with it the proxy uses TLS and passes the Host header on.
        """
        self.prefix, self.target = prefix, ""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.scheme, name = ("https", "127.0.0.1") if tls_in else ("http", "localhost")
        self.host = f"{name}:{self._server.server_port}"
        self.url = f"{self.scheme}://{self.host}{prefix}"
        if tls_in:
            self.certificate = _certificate(tls_in)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            # The handshake takes place in the connection's own thread, so a silent client blocks no other.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )

    def __enter__(self) -> "ProxyServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    proxy: ProxyServer

    def handle_error(self, *address: object) -> None:
        # A browser that closed its connection is no error.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self) -> None:
        """Pass the request on, and stream the response back."""
        proxy: ProxyServer = self.server.proxy
        if not self.path.startswith(proxy.prefix):
            self.send_error(404)
            return
        size = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS}
        headers |= {"x-forwarded-proto": proxy.scheme, "x-forwarded-for": "203.0.113.9",
                    "host" if proxy.scheme == "https" else "x-forwarded-host": self.headers["host"]}  # fmt: skip
        # httpx would ask for encodings that the client may not understand.
        headers.setdefault("accept-encoding", "identity")
        # No shared httpx client: it would keep the cookies of all browsers together.
        options = {"content": self.rfile.read(size), "headers": headers, "timeout": 60, "verify": False}
        url = proxy.target + (self.path.removeprefix(proxy.prefix) or "/")
        with httpx.stream(self.command, url, **options) as response:
            self.send_response_only(response.status_code)
            for name, value in response.headers.multi_items():
                if name.lower() not in _HOP_HEADERS:
                    self.send_header(name, value)
            if "content-length" not in response.headers:
                self.send_header("connection", "close")
            self.end_headers()
            for part in response.iter_raw():
                self.wfile.write(part)
                self.wfile.flush()

    do_GET = do_POST = do_HEAD = forward

    def log_message(self, *_: object) -> None: ...


def _certificate(folder: Path) -> Path:
    """Write a self-signed certificate for 127.0.0.1 and its key to one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "front.pem"
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem))
    return path
