"""One probe of a tenant's health: over HTTP or TCP, or as its platform sees it.

Called by runners in wait_healthy, by a live actor at its interval, and in bulk for tenants at rest.
"""

import asyncio
from urllib.parse import urlsplit

import httpx

from controlplane.model import Endpoint, HealthSpec, HttpProbe
from controlplane.model.headers import server_name
from controlplane.ports import ProbeResult, Resource, ResourceState
from controlplane.steps.stranger import StrangerTransport, no_cookies

HEALTHY = range(200, 400)
_UNCHECKED = httpx.create_ssl_context(verify=False, trust_env=False)
"""Made when this is imported, so a fork has it already."""
_LONGEST_REASON = 300
"""Characters. The text of an error may quote what the server sent."""
LISTEN_SECONDS = 0.25
"""A TCP probe waits this long for the other side to hang up."""


class HealthProber:
    """A Prober. Make one per event loop and `close` it. It never raises because of a tenant's behaviour: that is a
    result.

    Each probe has its own connection, takes no cookie, follows no redirect, uses no proxy from the environment, reads a
    bounded header and no body, and ends within `timeout_seconds` in all. Certificates are not checked: the probe asks
    about the server at this address, whoever it says it is, and sends it what `headers` holds. `transport`: for tests.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(
            transport=transport or StrangerTransport(_UNCHECKED),
            cookies=no_cookies(),
            trust_env=False,
            follow_redirects=False,
            timeout=None,
            headers={"User-Agent": "landlord-probe", "Connection": "close"},
        )

    async def probe(self, resource: Resource, health: HealthSpec) -> ProbeResult:
        known = self.known(resource, health)
        if known is not None:
            return known
        asked = health.http or health.tcp
        endpoint = _endpoint(resource, asked.port) if asked is not None else None
        assert asked is not None, "else it is known"
        assert endpoint is not None, "else it is known"
        if isinstance(asked, HttpProbe):
            return await self._http(asked, endpoint, health.timeout_seconds)
        return await _tcp(endpoint, health.timeout_seconds)

    def known(self, resource: Resource, health: HealthSpec) -> ProbeResult | None:
        """The result, if the resource as it was observed says it all. None: the tenant must be asked."""
        if resource.state is ResourceState.STARTING:
            return ProbeResult(None, resource.detail or f"{resource.name} is starting")
        if resource.state is not ResourceState.RUNNING:
            return ProbeResult(False, resource.detail or f"{resource.name} is {resource.state}")
        asked = health.http or health.tcp
        if asked is None:
            return _platform(resource)
        if _endpoint(resource, asked.port) is None:
            port = "no single port" if asked.port is None else f"no port {asked.port}"
            return ProbeResult(False, f"{resource.name} publishes {port} that could be probed")
        return None

    async def close(self) -> None:
        await self._client.aclose()

    async def _http(self, asked: HttpProbe, endpoint: Endpoint, timeout_seconds: float) -> ProbeResult:
        url = _url(asked, endpoint)
        headers, extensions = dict(asked.headers or {}), dict[str, str]()
        if asked.host is not None:
            headers["Host"] = asked.host
            extensions["sni_hostname"] = server_name(asked.host)
        request = self._client.stream("GET", url, headers=headers, extensions=extensions)
        try:
            async with asyncio.timeout(timeout_seconds), request as response:
                status = response.status_code
        except TimeoutError:
            return ProbeResult(False, f"GET {url} had no answer within {timeout_seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return ProbeResult(False, f"GET {url}: {_reason(error, urlsplit(url).netloc)[:_LONGEST_REASON]}")
        return ProbeResult(status in (asked.expect or HEALTHY), f"GET {url} answered {status}")


def _url(asked: HttpProbe, endpoint: Endpoint) -> str:
    base = urlsplit(endpoint.url)
    return f"{asked.scheme or base.scheme}://{base.netloc}{base.path.rstrip('/')}{asked.path}"


async def _tcp(endpoint: Endpoint, timeout_seconds: float) -> ProbeResult:
    """Healthy if the connection is accepted and not closed at once. Docker's proxy accepts even if no process listens
    in the container, then closes."""
    address = urlsplit(endpoint.url)
    where = address.netloc
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(address.hostname, port)
    except TimeoutError:
        return ProbeResult(False, f"{where} accepted no connection within {timeout_seconds:g} s")
    except OSError as error:
        return ProbeResult(False, f"no connection to {where}: {_reason(error, where)}")
    try:
        async with asyncio.timeout(min(timeout_seconds, LISTEN_SECONDS)):
            closed = not await reader.read(1)
    except TimeoutError:
        closed = False
    except OSError:
        closed = True
    writer.transport.abort()
    if closed:
        return ProbeResult(False, f"{where} accepted a connection and closed it at once")
    return ProbeResult(True, f"{where} accepted a connection")


def _platform(resource: Resource) -> ProbeResult:
    match resource.platform_health:
        case None:
            return ProbeResult(True, f"{resource.name} is running")
        case "starting":
            return ProbeResult(None, resource.detail or f"the platform says that {resource.name} is starting")
        case "recovering":
            return ProbeResult(False, resource.detail or f"the platform brings {resource.name} back", recovering=True)
        case verdict:
            return ProbeResult(verdict == "healthy", resource.detail or f"the platform says {verdict}")


def _endpoint(resource: Resource, port: int | None) -> Endpoint | None:
    """The endpoint of the tenant's own port. A single endpoint stands for any port (a provider may choose the tenant's
    port). One for UDP may have the same number, and is never asked."""
    reached = [endpoint for endpoint in resource.endpoints if urlsplit(endpoint.url).scheme != "udp"]
    matching = [endpoint for endpoint in reached if port is None or endpoint.port == port]
    found = matching or reached
    return found[0] if len(found) == 1 or matching else None


def _reason(error: BaseException, where: str) -> str:
    """The text of the lowest cause (`connection refused`), because the error itself says only `all attempts failed`."""
    reason = str(error) or type(error).__name__
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return f"connection refused by {where}"
        if isinstance(cause, OSError) and cause.strerror:
            reason = cause.strerror
        cause = cause.__cause__ or cause.__context__
    return reason
