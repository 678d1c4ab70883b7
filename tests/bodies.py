"""Bodies within all limits that are as costly as a client can make them, from a seed."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 256 * 1024
STARS = "********"

TEXTS: tuple[Callable[[random.Random, int], str], ...] = (
    lambda rng, n: "a" * n,
    lambda rng, n: "".join(rng.choices("ab \\'\"{}$.:/@=-", k=min(n, 500))) * (n // 500 + 1),
    lambda rng, n: "://" * (n // 3),
    lambda rng, n: "a://b:" + "c:" * (n // 2),
    lambda rng, n: "x://u:p@h/" * (n // 10),
    lambda rng, n: "//" + "a" * n + "@",
    lambda rng, n: "@" * n,
    lambda rng, n: "-----BEGIN " * (n // 11),
    lambda rng, n: "-----BEGIN A KEY-----\n" + "A" * n,
    lambda rng, n: "eyJ" * (n // 3),
    lambda rng, n: "eyJ" + "a." * (n // 2),
    lambda rng, n: "--password " * (n // 11),
    lambda rng, n: "--password=" + " " * n,
    lambda rng, n: "Authorization: " * (n // 15),
    lambda rng, n: "Bearer" + " " * n,
    lambda rng, n: " " * n,
    lambda rng, n: "\t\n" * (n // 2),
    lambda rng, n: "=" * n,
    lambda rng, n: "\x1b[" * (n // 2),
    lambda rng, n: "é" * n,
    lambda rng, n: "𝕏" * n,
    lambda rng, n: "a\u0301" * (n // 2),
    lambda rng, n: "\u202e" * n,
    lambda rng, n: "PASS" * (n // 4),
    lambda rng, n: "{port}" * (n // 6),
    lambda rng, n: "'" * n,
    lambda rng, n: "\\" * n,
    lambda rng, n: STARS,
)
"""Each makes about `n` characters: what patterns of masking, splitting and cleaning go over again and again."""


@dataclass(frozen=True)
class Request:
    """One request to send. `kind`: the shape, for a message."""

    kind: str
    method: str
    path: str
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} ({self.kind}, {len(self.body or b'')} bytes: {(self.body or b'')[:200]!r})"


def requests(seed: int, count: int) -> Iterator[Request]:
    """The first ones make the tenants that the others are about. Each kind comes up again and again."""
    rng = random.Random(seed)
    yield from _tenants()
    for number in range(count):
        kind, make = KINDS[number % len(KINDS)]
        method, path, body = make(rng)
        raw = body if isinstance(body, bytes) else None if body is None else encoded(body)
        yield Request(kind, method, path, raw)


def encoded(document: Any) -> bytes:
    """The JSON, in UTF-8 or escaped, whichever is still within a body."""
    short = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return short[:MOST_BYTES]


def _tenants() -> Iterator[Request]:
    env = {f"PASSWORD_{i}": "x" * 90 for i in range(200)}
    long_list = {"image": "a", "command": ["a" * 300] * 512, "env": env}
    ecs = {"cluster": "c", "task_definition": {"containerDefinitions": [_container(1000, i) for i in range(2)]}}
    for name, provider, config in (("long", "docker", long_list), ("many", "ecs", ecs), ("small", "fake", {})):
        spec = {"compute": {"provider": provider, "config": config}}
        yield Request("a tenant", "POST", "/v1/tenants", encoded({"name": name, "spec": spec}))


def _container(count: int, number: int) -> dict[str, Any]:
    environment = [{"name": f"PASSWORD_{i}", "value": f"v{i}"} for i in range(count)]
    return {"name": f"c{number}", "image": "a", "memory": 64, "environment": environment}


def _text(rng: random.Random, most: int) -> str:
    make = rng.choice(TEXTS)
    text = make(rng, most)
    while len(text.encode()) > MOST_BYTES - 4_000:
        text = text[: len(text) // 2]
    return text[:most]


def _env(rng: random.Random, count: int, size: int) -> dict[str, str]:
    names = ("A", "PASSWORD", "DATABASE_URL", "TOKEN_OF", "MONKEY", "K" * 100)
    return {f"{rng.choice(names)}_{i}": _text(rng, size) for i in range(count)}


def _spec(provider: str, config: Any, **more: Any) -> dict[str, Any]:
    return {"compute": {"provider": provider, "config": config}, **more}


def _new(rng: random.Random, spec: Any, **more: Any) -> tuple[str, str, Any]:
    stored = rng.random() < 0.02
    name = f"t{rng.randrange(10**9)}"
    return "POST", "/v1/tenants" if stored else "/v1/tenants?dry_run=true", {"name": name, "spec": spec, **more}


def _patched(rng: random.Random, name: str, **patch: Any) -> tuple[str, str, Any]:
    stored = rng.random() < 0.02
    return "PATCH", f"/v1/tenants/{name}" + ("" if stored else "?dry_run=true"), patch


def _config_patch(rng: random.Random, name: str, config: Any) -> tuple[str, str, Any]:
    return _patched(rng, name, spec={"compute": {"config": config}})


def _nested(rng: random.Random, depth: int, width: int) -> Any:
    value: Any = _text(rng, 100)
    for level in range(depth):
        value = [value] * width if level % 2 else {f"env{i}": value for i in range(width)}
        if len(encoded(value)) > MOST_BYTES // max(2, width) - 4_000:
            break
    return value


def _definition(rng: random.Random) -> dict[str, Any]:
    wrong = [{"name": rng.choice((0, "a", None, ["x"])), "value": _text(rng, 100)} for _ in range(1000)]
    return {"containerDefinitions": [{"name": "a", "image": "a", "environment": wrong}]}


KINDS: tuple[tuple[str, Callable[[random.Random], tuple[str, str, Any]]], ...] = (
    ("env of docker", lambda r: _new(r, _spec("docker", {"image": "a", "env": _env(r, 512, 400)}))),
    ("few long variables", lambda r: _new(r, _spec("docker", {"image": "a", "env": _env(r, 3, 60_000)}))),
    ("words of docker", lambda r: _new(r, _spec("docker", {"image": "a", "command": [_text(r, 450)] * 512}))),
    ("long words", lambda r: _new(r, _spec("docker", {"image": "a", "command": [_text(r, 60_000)] * 3}))),
    ("command as text", lambda r: _new(r, _spec("docker", {"image": "a", "command": _text(r, 8192)}))),
    ("too long a command", lambda r: _new(r, _spec("docker", {"image": "a", "command": _text(r, 65_000)}))),
    ("an image", lambda r: _new(r, _spec("docker", {"image": _text(r, 512)}))),
    ("a long image", lambda r: _new(r, _spec("docker", {"image": _text(r, 65_000)}))),
    ("ports", lambda r: _new(r, _spec("docker", {"image": "a", "ports": [{"container_port": "x"}] * 1000}))),
    ("volumes", lambda r: _new(r, _spec("docker", {"image": "a", "volumes": [_text(r, 200)] * 1000}))),
    ("one volume", lambda r: _new(r, _spec("docker", {"image": "a", "volumes": [_text(r, 65_000)]}))),
    ("a network", lambda r: _new(r, _spec("docker", {"image": "a", "network": _text(r, 65_000)}))),
    ("a definition", lambda r: _new(r, _spec("ecs", {"task_definition": _definition(r)}))),
    ("many containers", lambda r: _new(r, _spec("ecs", {"task_definition": {
        "containerDefinitions": [_container(7, i) for i in range(500)]}}))),
    ("unknown fields of AWS", lambda r: _new(r, _spec("ecs", {"task_definition": {
        f"x{i}": {f"y{j}": 0 for j in range(7)} for i in range(1000)}}))),
    ("an ARN", lambda r: _new(r, _spec("ecs", {"task_definition": _text(r, 65_000), "cluster": _text(r, 60_000)}))),
    ("a nested config", lambda r: _new(r, _spec("ecs", {"task_definition": _nested(r, 26, 2)}))),
    ("a wide config", lambda r: _new(r, _spec("docker", _nested(r, 3, 20)))),
    ("deep", lambda r: _new(r, _spec("fake", json.loads('{"a":' * 27 + '"x"' + "}" * 27)))),
    ("unknown fields", lambda r: _new(r, _spec("fake", {}), **{f"k{i}": _text(r, 100) for i in range(1000)})),
    ("unknown parts", lambda r: _new(r, {**_spec("fake", {}), **{f"k{i}": i for i in range(1000)}})),
    ("wrong labels", lambda r: _new(r, _spec("fake", {}), labels={f"!{i}": 0 for i in range(1000)})),
    ("long labels", lambda r: _new(r, _spec("fake", {}), labels={_text(r, 250): _text(r, 65_000)})),
    ("annotations", lambda r: _new(r, _spec("fake", {}), annotations={f"k{i}": _text(r, 16_000) for i in range(15)})),
    ("numbers", lambda r: _new(r, _spec("fake", {"health": [r.choice((1e308, 2**62, 0.1, -1))] * 1000}))),
    ("values of health", lambda r: _new(r, _spec("fake", {}, health={f"k{i}": 0.5 for i in range(1000)}))),
    ("a path", lambda r: _new(r, _spec("fake", {}, health={"http": {"path": "/" + _text(r, 65_000)}}))),
    ("stars", lambda r: _new(r, _spec("docker", {"image": "a", "env": {f"A{i}": STARS for i in range(1000)}}))),
    ("names against a list", lambda r: _config_patch(r, "long", {"command": [{"name": 0}] * 1000})),
    ("a list of names", lambda r: _config_patch(r, "many", {"task_definition": {
        "containerDefinitions": [{**_container(1000, i), "environment": [
            {"name": f"PASSWORD_{j}", "value": STARS} for j in reversed(range(1000))]} for i in range(2)]}})),
    ("a list of one name", lambda r: _config_patch(r, "many", {"task_definition": {
        "containerDefinitions": [{"name": "c1", "environment": [{"name": "PASSWORD_999", "value": STARS}] * 1000}]}})),
    ("nulls", lambda r: _config_patch(r, "long", {"env": {f"PASSWORD_{i}": None for i in range(1000)}})),
    ("another provider", lambda r: _patched(r, "long", spec=_spec("ecs", {f"x{i}": 0 for i in range(1000)}))),
    ("other variables", lambda r: _config_patch(r, "long", {"env": _env(r, 200, 400)})),
    ("other labels", lambda r: _patched(r, "small", labels={f"k{i}": "v" for i in range(64)})),
    ("other annotations", lambda r: _patched(r, "small", annotations={f"k{i}": _text(r, 4000) for i in range(60)})),
    ("a patch of nothing", lambda r: _patched(r, "many", spec={})),
    ("zeros", lambda r: ("POST", "/v1/tenants", b"[" + b"0," * 130_000 + b"0]")),
    ("objects", lambda r: ("POST", "/v1/tenants", b"[" + b"{}," * 87_000 + b"{}]")),
    ("fractions", lambda r: ("POST", "/v1/tenants", b"[" + b"1.5," * 65_000 + b"0]")),
    ("members", lambda r: ("POST", "/v1/tenants", encoded({f"{i:x}": 0 for i in range(25_000)}))),
    ("brackets", lambda r: ("POST", "/v1/tenants", b"[" * 260_000)),
    ("digits", lambda r: ("POST", "/v1/tenants", b'{"a":' + b"9" * 4_200 + b"}")),
    ("a text", lambda r: ("POST", "/v1/tenants", encoded({"a": _text(r, 200_000)}))),
    ("escapes", lambda r: ("POST", "/v1/tenants", b'{"a":"' + b"\\u0041" * 43_000 + b'"}')),
    ("a selector", lambda r: ("GET", "/v1/tenants?label=" + "a%20in(" + "b," * 190, None)),
    ("selectors", lambda r: ("GET", "/v1/tenants?" + "&".join(["label=a"] * 2_000), None)),
    ("statuses", lambda r: ("GET", "/v1/tenants?" + "&".join(["status=ready"] * 2_000), None)),
    ("parameters", lambda r: ("GET", "/v1/tenants?" + "&".join(f"x{i}=1" for i in range(4_000)), None)),
    ("a page", lambda r: ("GET", "/v1/tenants?limit=500", None)),
    ("a tenant", lambda r: ("GET", f"/v1/tenants/{r.choice(('long', 'many'))}", None)),
    ("a page of events", lambda r: ("GET", "/v1/events?limit=500", None)),
    ("a name", lambda r: ("GET", "/v1/tenants/" + "a" * 8_000, None)),
    ("an execution", lambda r: ("POST", "/v1/executions/tenant-" + "-a-1" * 1_500 + "/cancel", None)),
)  # fmt: skip
