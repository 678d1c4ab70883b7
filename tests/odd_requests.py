"""Requests as no client library sends them, byte by byte. Each is refused or understood; none is an error of ours."""

import asyncio
import contextlib
import re

_STATUS = re.compile(rb"(?:\A|\n|\})HTTP/1\.[01] (\d{3}) ")
REFUSALS = (501, 505)
"""What a server says that does not do such things at all."""


def odd_requests(token: str) -> list[bytes]:
    """With a valid token, so that each gets as far as it can."""
    bearer = f"Authorization: Bearer {token}\r\n".encode()

    def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
        lines = b"".join(header + b"\r\n" for header in headers)
        return line + b"\r\nHost: landlord\r\nConnection: close\r\n" + bearer + lines + b"\r\n" + body

    def get(target: bytes, *headers: bytes) -> bytes:
        return request(b"GET " + target + b" HTTP/1.1", *headers)

    def retry(*headers: bytes, query: bytes = b"") -> bytes:
        return request(b"POST /v1/tenants/none/retry" + query + b" HTTP/1.1", *headers)

    def post(*headers: bytes, body: bytes = b"") -> bytes:
        return request(b"POST /v1/tenants HTTP/1.1", *headers, body=body)

    return [
        # Targets.
        *(get(target) for target in (b"/v1/nothing?\xff", b"/v1/tenants?\xff", b"/v1/tenants?limit=\xff", b"/\xff")),
        *(get(target) for target in (b"/v1/tenants/%00", b"/v1/tenants/%ff", b"/v1/tenants/%ed%a0%80", b"/v1/%")),
        *(get(target) for target in (b"/v1/tenants/..%2f..%2ftokens", b"/v1/../v1/tenants/none", b"//v1//tenants")),
        *(
            get(target)
            for target in (b"/v1/tenants?limit=%EF%BC%91", b"/v1/tenants?cursor=%00", b"/v1/tenants?label=%00")
        ),
        *(get(target) for target in (b"http://elsewhere/v1/nothing", b"http://[/v1/x", b"*", b"landlord:80", b"")),
        *(get(b"/v1/executions/" + id) for id in (b"%0a", b"tenant-%C3%A9-provision-1-00000000", b"a" * 3000)),
        get(b"/" + b"a" * 100_000),
        request(b"PUT /v1/tenants?\xff HTTP/1.1"),
        request(b"OPTIONS * HTTP/1.1"),
        request(b"CONNECT 127.0.0.1:22 HTTP/1.1"),
        request(b"TRACE /v1/tenants HTTP/1.1"),
        request(b"GET /v1/tenants HTTP/3.0"),
        request(b"GET  /v1/tenants  HTTP/1.1"),
        b"GET /v1/tenants\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        # Headers.
        *(retry(b"Idempotency-Key: " + key) for key in (b"\xff", b"", b"\x7f", b"k" * 256, b"k\tk", "\u00e9".encode())),
        *(retry(b"Idempotency-Key: k", query=query) for query in (b"?\xff", b"?dry_run=\xff", b"?dry_run=%00")),
        *(retry(b"If-Match: " + tag) for tag in (b"\xff", b'"' * 1000, b",,,")),
        *(retry(b"Prefer: " + wish) for wish in (b"wait=99999999999", b"wait=-1", b"wait=\xb2", b"wait=1, wait=x")),
        *(get(b"/v1/watch", b"Last-Event-ID: " + id) for id in (b"\xb2", b"-1", b"1e3", b"9" * 400)),
        *(get(b"/v1/nothing", b"X-Request-ID: " + id) for id in (b"\xff", b"a" * 4000, b"a\x01b")),
        *(get(b"/v1/nothing", b"X-Forwarded-For: " + claim) for claim in (b"\xff", b"::1%eth0", b"127.0.0.1, ,")),
        *(get(b"/v1/nothing", b"traceparent: " + parent) for parent in (b"\xff", b"00-0-0-0")),
        *(get(b"/v1/nothing", b"Host: " + host) for host in (b"[", b"a/b?c#d", b"\xff")),
        *(get(b"/v1/nothing", line) for line in (b"X : y", b" folded", b"X\xff: y", b": y", b"X: \x00", b"novalue")),
        get(b"/v1/nothing", b"X: " + b"a" * 100_000),
        get(b"/v1/nothing", *(b"X-%d: y" % number for number in range(2000))),
        get(
            b"/v1/tenants",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            b"Sec-WebSocket-Version: 13",
        ),
        get(b"/v1/nothing", b"Upgrade: h2c", b"HTTP2-Settings: AAAA"),
        # Bodies.
        *(
            post(b"Content-Length: " + length, body=b"{}")
            for length in (b"+2", b"2 2", b"0x2", b"2,3", b"-1", b"9" * 30)
        ),
        post(b"Content-Length: 2", b"Content-Length: 3", body=b"{}"),
        *(
            post(b"Transfer-Encoding: " + coding, body=b"2\r\n{}\r\n0\r\n\r\n")
            for coding in (b"chunked, identity", b"xchunked", b"chunked, chunked", b"\x0bchunked", b"gzip")
        ),
        *(
            post(b"Transfer-Encoding: chunked", body=chunk + b"\r\n{}\r\n0\r\n\r\n")
            for chunk in (b"-2", b"ffffffffffffffffff", b"2;" + b"a" * 50_000, b"0x2", b"")
        ),
        post(b"Content-Length: 2", b"Content-Encoding: gzip", body=b"{}"),
        post(b"Content-Length: 2", b"Content-Type: application/json; charset=utf-16", body=b"{}"),
        post(b"Content-Length: 2", b"Content-Type: \xff", body=b"{}"),
        post(b"Content-Length: 2", b"Expect: 200-maybe", body=b"{}"),
    ]


async def statuses(host: str, port: int, sent: bytes, *, seconds: float = 30) -> list[int]:
    """The status codes of all answers on one connection within this time. Empty: it was closed, or nothing came."""
    reader, writer = await asyncio.open_connection(host, port)
    said = b""
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(sent)
        async with asyncio.timeout(seconds):
            while part := await reader.read(65536):
                said += part
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return [int(status) for status in _STATUS.findall(said)]


async def failures(host: str, port: int, requests: list[bytes]) -> list[tuple[bytes, list[int]]]:
    """Those that were answered with an error of the server's. One that waits for more is left after some seconds."""
    places = asyncio.Semaphore(16)

    async def one(sent: bytes) -> tuple[bytes, list[int]]:
        async with places:
            return sent[:200], await statuses(host, port, sent, seconds=5)

    answered = await asyncio.gather(*map(one, requests))
    return [(sent, said) for sent, said in answered if any(code >= 500 and code not in REFUSALS for code in said)]
