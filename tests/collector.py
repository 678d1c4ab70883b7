"""A collector for traces: takes OTLP over HTTP on loopback, as Jaeger, Tempo or the OpenTelemetry Collector do."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One span."""

    name: str
    trace: str
    id: str
    parent: str
    part: str
    attributes: dict[str, str | int]
    failed: str


class Collector:
    """Everything that was sent to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._spans: list[Seen] = []
        self._lock = threading.Lock()

    def take(self, body: bytes) -> None:
        with self._lock:
            self._spans += list(_spans(body))

    def of(self, trace: str) -> list[Seen]:
        with self._lock:
            return [span for span in self._spans if span.trace == trace]

    def until(self, trace: str, condition: Callable[[set[str]], bool]) -> list[Seen]:
        """The spans of a trace once their names fit."""
        give_up = time.monotonic() + SECONDS
        while True:
            found = self.of(trace)
            if condition({span.name for span in found}):
                return found
            with self._lock:
                assert time.monotonic() < give_up, (found, self._spans)
            time.sleep(0.05)

    @property
    def size(self) -> int:
        with self._lock:
            return len(self._spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                collector.take(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _spans(body: bytes) -> Iterator[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        told = {one.key: one.value.string_value for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    part=told["service.instance.id"],
                    attributes={one.key: one.value.string_value or one.value.int_value for one in span.attributes},
                    failed=span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else "",
                )
