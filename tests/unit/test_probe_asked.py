"""What a spec may have an HTTP probe say and expect: scheme, host, header fields, codes."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import ValidationError

from controlplane.model import Endpoint, HealthSpec
from controlplane.model.masking import MASK, mask
from controlplane.ports import Origin, ProbeResult, Resource, ResourceState
from controlplane.steps.probe import HealthProber

SECRET = "hunter2-probe"


async def asked(status: int, **http: Any) -> tuple[ProbeResult, httpx.Request]:
    """The verdict on an answer with that status, and the request that it answered."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status)

    origin = Origin("test", "acme", uuid4(), 1, 1, "tenant-acme-provision-1-00000000", "0" * 16)
    endpoints = (Endpoint("http", "http://127.0.0.1:32768", 8080),)
    prober = HealthProber(httpx.MockTransport(answer))
    result = await prober.probe(
        Resource("id", "landlord-acme", origin, ResourceState.RUNNING, endpoints=endpoints),
        HealthSpec.model_validate({"http": http}),
    )
    await prober.close()
    return result, requests[0]


async def test_the_scheme_is_the_specs() -> None:
    result, request = await asked(200, scheme="https", path="/up?x=1")
    assert str(request.url) == "https://127.0.0.1:32768/up?x=1"
    assert result == ProbeResult(True, "GET https://127.0.0.1:32768/up?x=1 answered 200")


async def test_the_host_is_said_once_and_is_the_servers_name_without_its_port() -> None:
    _, request = await asked(200, scheme="https", host="acme.example.com:8443")
    assert request.headers.get_list("host") == ["acme.example.com:8443"]
    assert request.extensions["sni_hostname"] == "acme.example.com"
    assert request.url.host == "127.0.0.1"


async def test_header_fields_are_sent_beside_the_probes_own() -> None:
    _, request = await asked(200, headers={"X-Tenant": "acme", "user-agent": "acme-monitor"})
    assert request.headers["x-tenant"] == "acme"
    assert request.headers.get_list("user-agent") == ["acme-monitor"]
    assert request.headers["connection"] == "close"
    assert request.headers["host"] == "127.0.0.1:32768"


@pytest.mark.parametrize(
    ("status", "expect", "healthy"),
    [(401, [401], True), (200, [401], False), (503, [200, 503], True), (302, [200], False), (399, None, True)],
)
async def test_the_expected_codes_are_the_specs(status: int, expect: list[int] | None, healthy: bool) -> None:
    result, _ = await asked(status, expect=expect)
    assert result.healthy is healthy


@pytest.mark.parametrize(
    ("http", "message"),
    [
        ({"scheme": "ftp"}, "'http' or 'https'"),
        ({"host": "acme..example"}, "pattern"),
        ({"host": "a" * 64}, "pattern"),
        ({"host": "acme\r\nX: y"}, "pattern"),
        ({"host": "acme:99x"}, "pattern"),
        ({"headers": {"Host": "acme"}}, "give it as `host`"),
        ({"headers": {"Content-length": "5"}}, "the probe's own"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "the probe's own"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "twice"),
        ({"headers": {"X A": "1"}}, "no name of a header field"),
        ({"headers": {"": "1"}}, "no name of a header field"),
        ({"headers": {"X": "a\nb"}}, "pattern"),
        ({"headers": {"X": 1}}, "valid string"),
        ({"headers": {f"X{i}": "" for i in range(33)}}, "at most 32"),
        ({"expect": []}, "at least 1"),
        ({"expect": [199]}, "greater than or equal to 200"),
        ({"expect": [600]}, "less than or equal to 599"),
    ],
)
def test_what_cannot_be_sent_or_expected_is_refused(http: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HealthSpec.model_validate({"http": http})


def test_secrets_in_header_fields_are_stars() -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "X-Api-Key": SECRET, "X-Tenant": "acme"}
    health = HealthSpec.model_validate({"http": {"headers": headers}})
    shown = mask({"health": health.model_dump()})["health"]["http"]["headers"]
    assert shown == {"Authorization": MASK, "X-Api-Key": MASK, "X-Tenant": "acme"}
    assert SECRET not in repr(health)
