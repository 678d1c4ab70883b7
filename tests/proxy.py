"""A forward proxy for the suite: it writes down what it is asked for, and leads nowhere."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Proxy:
    """`asked`: `CONNECT host:port` and `GET http://…`, in order."""

    url: str
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def running_proxy() -> Iterator[Proxy]:
    class Answers(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            proxy.asked.append(f"{self.command} {self.path}")
            self.send_error(403, "written down")

        do_CONNECT = do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = refuse  # the server's names

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
