"""Which engine answers: it is asked once for each connection to it, since another one may take over its socket."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

import pytest

from providers.compute.docker.engine import DockerEngine


class _Listener(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


@contextmanager
def engine(path: Path, id: str, asked: list[str]) -> Iterator[None]:
    """What answers on this socket like a Docker Engine of that id."""
    connections: list[socket.socket] = []

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.append(self.connection)

        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps({"ID": id}).encode()
            self.send_response(200)
            self.send_header("Api-Version", "1.41")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    path.unlink(missing_ok=True)
    with _Listener(str(path), Answers) as listener:
        serving = threading.Thread(target=listener.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield
        finally:
            for connection in connections:  # as if its process had ended
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            listener.shutdown()
            serving.join()


def test_the_identity_is_asked_for_again_once_another_engine_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = tmp_path / "s", list[str]()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    docker = DockerEngine(timeout=5, connections=2)
    with engine(path, "first", asked):
        assert [docker.identity() for _ in range(3)] == ["first"] * 3
        assert asked == ["/_ping", "/v1.41/info", "/v1.41/_ping", "/v1.41/_ping"]
    with engine(path, "second", asked):
        assert docker.identity() == "second"
        docker.close()
