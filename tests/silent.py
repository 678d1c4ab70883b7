"""Servers that accept and never answer, as a platform that is stopped or out of disk."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def silent_socket(path: Path) -> Iterator[str]:
    """The address of a Unix socket, as DOCKER_HOST. The kernel accepts; no process ever reads."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(128)
        yield f"unix://{path}"


@contextmanager
def silent_port() -> Iterator[str]:
    """The URL of a TCP port on loopback that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
KINDS = "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json"


@contextmanager
def stalling_registry() -> Iterator[str]:
    """An image registry, as `host:port`, that has any image and sends the first bytes of its layer, then no more."""
    over = threading.Event()
    layer = f"sha256:{sha256(b'never sent').hexdigest()}"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": KINDS[0],
            "config": {"mediaType": KINDS[1], "size": len(CONFIG), "digest": f"sha256:{sha256(CONFIG).hexdigest()}"},
            "layers": [
                {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1 << 20, "digest": layer}
            ],
        }
    ).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.endswith(layer):
                self._answer(b"\x1f\x8b", "application/octet-stream", length=1 << 20)
                over.wait(120)
            elif "/blobs/" in self.path:
                self._answer(CONFIG, "application/octet-stream")
            elif "/manifests/" in self.path:
                self._answer(manifest, KINDS[0])
            else:
                self._answer(b"{}", "application/json")

        do_HEAD = do_GET

        def _answer(self, body: bytes, kind: str, length: int | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Docker-Content-Digest", f"sha256:{sha256(body).hexdigest()}")
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)
                self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
