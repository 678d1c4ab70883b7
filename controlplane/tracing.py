"""Traces by OpenTelemetry: off by default, and then each span costs one comparison and nothing is imported.

One trace leads from a request through its commit and wake-up to the start at the engine, each step and the platform's
calls. Its W3C context is kept with the execution's row, so it also reaches steps that an engine elsewhere orders.

No span has a spec, an answer or a message of an error: those may hold what is nobody's business.
"""

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

PATH = "/v1/traces"
EXPORT_MS = 1_000
"""Spans are sent together, this often."""
FLUSH_MS = 2_000
NAME = "landlord"


class Span(Protocol):
    """What is being done. Attributes are words of ours and ids, never texts from outside."""

    def named(self, name: str, **attributes: str | int) -> None: ...


class _None:
    def named(self, name: str, **attributes: str | int) -> None:
        pass


SDK = "opentelemetry.sdk.trace"
EXPORT = "opentelemetry.sdk.trace.export"
RESOURCES = "opentelemetry.sdk.resources"
IDS = "opentelemetry.sdk.trace.id_generator"
API = "opentelemetry.trace"
CONTEXT = "opentelemetry.context"
PROPAGATION = "opentelemetry.trace.propagation.tracecontext"
EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

NOTHING: AbstractContextManager[Span] = nullcontext(_None())
_here: "_Traces | None" = None


def prepare(endpoint: str | None) -> None:
    """Import what tracing needs, if there is an endpoint: in a process that is forked, so that no fork does it again.
    Starts no thread."""
    if endpoint is not None:
        _exporter(endpoint)
        for name in (SDK, EXPORT, RESOURCES, IDS, API, CONTEXT, PROPAGATION):
            importlib.import_module(name)


def begin(endpoint: str | None, part: str) -> None:
    """Trace from now on, if there is an endpoint: the address of a collector that takes OTLP over HTTP. `part`: the
    name of this process. A second call in one process changes nothing."""
    global _here
    if endpoint is not None and _here is None:
        _here = _Traces(endpoint, part)


def finish() -> None:
    """Send what is left, for some seconds at most, and trace no more. Blocks."""
    global _here
    traces, _here = _here, None
    if traces is not None:
        traces.close()


def on() -> bool:
    return _here is not None


def span(
    name: str, *, parent: str | None = None, root: bool = False, **attributes: str | int
) -> AbstractContextManager[Span]:
    """Around what is to be seen. It hangs below `parent` (a W3C traceparent), else below the span that is open here.
    `root`: without either it begins a trace; otherwise it is none then."""
    return NOTHING if _here is None else _here.span(name, parent, root, attributes)


def traceparent() -> str | None:
    """The open span, for work that somebody does later; without an open one, that of a new trace. None: tracing is
    off."""
    return None if _here is None else _here.traceparent()


class _Traces:
    def __init__(self, endpoint: str, part: str) -> None:
        # Imported here: processes that do not trace do without.
        sdk: Any = importlib.import_module(SDK)
        export: Any = importlib.import_module(EXPORT)
        resources: Any = importlib.import_module(RESOURCES)
        ids: Any = importlib.import_module(IDS)
        self._api: Any = importlib.import_module(API)
        self._context: Any = importlib.import_module(CONTEXT)
        propagation: Any = importlib.import_module(PROPAGATION)
        self._propagator = propagation.TraceContextTextMapPropagator()
        self._ids = ids.RandomIdGenerator()
        told = resources.Resource.create({"service.name": NAME, "service.instance.id": part})
        # It has no part in the process' end: an actor that leaves does not wait for a collector.
        self._provider = sdk.TracerProvider(resource=told, shutdown_on_exit=False)
        sending = export.BatchSpanProcessor(_exporter(endpoint), schedule_delay_millis=EXPORT_MS)
        self._provider.add_span_processor(sending)
        self._tracer = self._provider.get_tracer(NAME)

    def span(
        self, name: str, parent: str | None, root: bool, attributes: dict[str, str | int]
    ) -> AbstractContextManager[Span]:
        context = None if parent is None else self._propagator.extract({"traceparent": parent}, self._context.Context())
        there = self._api.get_current_span(context).get_span_context().is_valid
        return self._opened(name, context, attributes) if there or root else NOTHING

    @contextmanager
    def _opened(self, name: str, context: Any, attributes: dict[str, str | int]) -> Iterator[Span]:
        # An error's words may be anybody's; its type is ours.
        opened = self._tracer.start_as_current_span(
            name, context=context, attributes=attributes, record_exception=False, set_status_on_exception=False
        )
        with opened as inner:
            try:
                yield _Open(inner)
            except BaseException as error:
                inner.set_status(self._api.StatusCode.ERROR, type(error).__name__)
                raise

    def traceparent(self) -> str:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        fresh = f"00-{self._ids.generate_trace_id():032x}-{self._ids.generate_span_id():016x}-01"
        return carrier.get("traceparent", fresh)

    def close(self) -> None:
        self._provider.force_flush(FLUSH_MS)
        self._provider.shutdown()


def _exporter(endpoint: str) -> Any:
    """It imports a part of what it needs only when it is made."""
    exporters: Any = importlib.import_module(EXPORTER)
    return exporters.OTLPSpanExporter(endpoint=endpoint.rstrip("/") + PATH, timeout=5)


class _Open:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def named(self, name: str, **attributes: str | int) -> None:
        self._inner.update_name(name)
        self._inner.set_attributes(attributes)
