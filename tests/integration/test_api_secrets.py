"""Secrets are planted in every place of a spec that may hold one. No answer, event, row of an answer, problem, stream,
log line or `repr` has them, and they come back unharmed when a client sends what it was shown."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from controlplane.api.masking import MASK
from controlplane.errors import InvalidConfig, told
from controlplane.local.logs import Console, Json
from controlplane.model import HealthSpec, TenantSpec
from controlplane.persistence import tables
from controlplane.ports import DesiredResource, Origin, Wake
from providers.compute.docker.provider import DockerCompute
from providers.compute.ecs.provider import EcsCompute
from providers.compute.fake import FakeCloud, FakeCompute
from providers.compute.process.provider import ProcessCompute
from tests.integration.api_replica import Api, api_on, served

HEAD, TAIL = "Zq7", "7qZ"
"""Each secret begins and ends so, and nothing else has these letters: a part of one is found too."""
NUMBERS = count()

SECRETS = st.text("abcXYZ019+/=_.~!;&|,-", min_size=6, max_size=30).map(lambda inner: f"{HEAD}{inner}{TAIL}")
NAMES = st.sampled_from(
    ["DB_PASSWORD", "MYSQL_PWD", "SMTP_PASS", "apiKey", "JWT", "COOKIE_SALT", "SENTRY_DSN", "KUBECONFIG", "AWS_CREDS"]
)
FLAGS = st.sampled_from(["requirepass", "password", "api-key", "auth_token", "db.secret"])


def words(secret: str, flag: str) -> list[str]:
    """A command with it in each place of a command."""
    return [
        *(
            "app",
            f"--{flag}",
            secret,
            f"--{flag}={secret}",
            f"-D{flag}={secret}",
            f"DB_PASSWORD={secret}",
            "--port",
            "80",
        ),
        *("sh", "-c", f"run --{flag} {secret} --{flag}='{secret}'; curl https://u:{secret}@h/x?token={secret}"),
        *("-H", f"Authorization: Bearer {secret}", f'{{"password": "{secret}"}}'),
    ]


def variables(secret: str, name: str) -> dict[str, str]:
    """An environment with it in each way."""
    return {
        name: secret,
        "PLAIN": secret,  # secret_env names it
        "DATABASE_URL": f"postgres://app:{secret}@db:5432/x",
        "OPTS": f"-Xmx1g -Djavax.net.ssl.keyStorePassword={secret} --color",
        "CHAIN": f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----",
        "HEADER": f"Authorization: Basic {secret}",
        "COLOR": "blue",
    }


def tenants(secret: str, name: str, flag: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Provider and a tenant's document."""
    env, command = variables(secret, name), words(secret, flag)
    probe = {"exec": {"command": command}}
    annotations = {"example.com/api-token": secret, "url": f"redis://:{secret}@r", "note": "plain"}
    container = {
        "name": "web",
        "image": "web:1",
        "memory": 64,
        "command": command,
        "environment": [{"name": key, "value": value} for key, value in env.items()],
        "logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": secret, "apikey": secret, "tag": "t"}},
        "dockerLabels": {"url": f"amqp://u:{secret}@mq", "deploy.token": secret},
    }
    configs: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("docker", {"image": "web:1", "command": command, "env": env, "secret_env": ["PLAIN"]}, probe),
        ("docker", {"image": "web:1", "command": f"app --{flag} {secret} --{flag}={secret}"}, {}),
        ("process", {"command": command, "env": env, "secret_env": ["PLAIN"]}, {}),
        ("ecs", {"task_definition": {"containerDefinitions": [container]}, "secret_env": ["PLAIN"]}, {}),
        ("fake", {"env": env, "secret_env": ["PLAIN"], "refuses": f"cannot reach http://u:{secret}@h"}, {}),
    ]
    for provider, config, health in configs:
        spec = {"compute": {"provider": provider, "config": config}, "health": health}
        yield provider, {"name": f"t{next(NUMBERS)}", "annotations": annotations, "spec": spec}


class Logged(logging.Handler):
    """The lines of the log, in both forms."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [form("test").format(record) for form in (Json, Console)]


@pytest.fixture
def logged() -> Iterator[Logged]:
    handler, root = Logged(), logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    compute = {
        "docker": DockerCompute(),
        "process": ProcessCompute(tmp_path),
        "ecs": EcsCompute(endpoint_url="http://127.0.0.1:9"),
        "fake": FakeCompute(FakeCloud()),
    }
    async with api_on(database_url, more=compute) as api:
        yield api
    for provider in compute.values():
        await provider.close()


def silent(text: str, where: object) -> None:
    for part in (HEAD, TAIL):
        at = text.find(part)
        assert at < 0, f"{where}: …{text[max(0, at - 120) : at + 40]}…"


async def stored(api: Api, name: str) -> Any:
    async with api.database.connect() as connection:
        statement = select(tables.tenants.c.spec, tables.tenants.c.annotations).where(tables.tenants.c.name == name)
        return (await connection.execute(statement)).one()


async def lived(api: Api, provider: str, document: dict[str, Any]) -> None:
    """All that a client does with one tenant; nothing that comes back has the secret."""
    name = document["name"]
    path = f"/v1/tenants/{name}"
    spec = document["spec"]

    async def ask(method: str, path: str, status: int, **request: Any) -> httpx.Response:
        answer = await api.client.request(method, path, **request)
        assert answer.status_code == status, (provider, answer.text)
        silent(answer.text + str(answer.headers), (provider, method, path))
        return answer

    await ask("POST", "/v1/tenants?dry_run=true", 200, json=document)
    wrong = {**spec, "compute": {**spec["compute"], "config": {**spec["compute"]["config"], "unknown": 1}}}
    await ask("POST", "/v1/tenants", 400, json={**document, "spec": wrong})
    # A number in the place of a text, and the secret as the name of an image or a port: refused without its value.
    await ask("POST", "/v1/tenants", 400, json={**document, "spec": {**spec, "heal": f"{HEAD}{TAIL}"}})
    api.directory.outcome = Wake("refused", f"cannot reach http://u:{HEAD}x{TAIL}@engine/")
    await ask("POST", "/v1/tenants", 503, json=document, headers={"Idempotency-Key": name})
    api.directory.outcome = Wake("started")
    await ask("POST", "/v1/tenants", 202, json=document, headers={"Idempotency-Key": name})
    shown = (await ask("GET", path, 200)).json()
    assert MASK in json.dumps(shown["spec"])
    before = await stored(api, name)
    assert before.spec["compute"]["config"] == spec["compute"]["config"]

    # What was shown comes back whole, with one change.
    wanted = {"spec": {**shown["spec"], "heal": "none"}, "annotations": {**shown["annotations"], "note": "changed"}}
    await ask("PATCH", f"{path}?dry_run=true", 200, json=wanted)
    await ask("PATCH", path, 202, json=wanted)
    after = await stored(api, name)
    assert after.spec == {**before.spec, "heal": "none"}
    assert after.annotations == {**before.annotations, "note": "changed"}

    # Whoever takes away the name of a variable, or its mark, is shown nothing.
    if "secret_env" in spec["compute"]["config"]:
        for dry in ("?dry_run=true", ""):
            await ask(
                "PATCH", path + dry, 400, json=with_config({**shown["spec"]["compute"]["config"], "secret_env": []})
            )
    if provider == "ecs":
        definition = shown["spec"]["compute"]["config"]["task_definition"]
        [container] = definition["containerDefinitions"]
        nameless = [{"value": pair["value"]} for pair in container["environment"]]
        bare = {**definition, "containerDefinitions": [{**container, "environment": nameless}]}
        await ask("PATCH", f"{path}?dry_run=true", 400, json=with_config({"task_definition": bare}))
    await ask("PATCH", path, 202, json={"spec": {"compute": {"config": other(provider)}}})
    await ask("GET", f"{path}/events", 200)
    await ask("GET", f"{path}/executions", 200)
    await ask("DELETE", path, 202)


def with_config(config: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"compute": {"config": config}}}


def other(provider: str) -> dict[str, Any]:
    """A change that takes all secrets away: its plan and event tell what was before."""
    if provider == "ecs":
        return {"task_definition": {"containerDefinitions": [{"name": "web", "image": "web:2", "memory": 64}]}}
    gone = {"env": None, "secret_env": None}
    return {**gone, "version": "2", "refuses": None} if provider == "fake" else {**gone, "command": ["app"]}


@pytest.mark.timeout(600)
@given(secret=SECRETS, name=NAMES, flag=FLAGS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
async def test_no_answer_event_row_stream_or_line_has_a_secret(
    api: Api, logged: Logged, secret: str, name: str, flag: str
) -> None:
    for provider, document in tenants(secret, name, flag):
        await lived(api, provider, document)
        spec = TenantSpec.model_validate(document["spec"])
        origin = Origin("i", document["name"], UUID(int=1), 1, 1, "e", spec.hash)
        silent(repr(spec), "repr")
        silent(repr(DesiredResource(origin, spec.compute.config, spec.health)), "repr")
        silent(told(InvalidConfig(f"http://u:{secret}@h"), "unexpected"), "error")
    for listed in ("/v1/tenants?limit=500", "/v1/events?limit=500"):
        silent((await api.client.get(listed)).text, listed)
    async with api.database.connect() as connection:
        for rows in (
            "SELECT body::text, headers::text FROM idempotency_keys",
            "SELECT data::text, message FROM events",
        ):
            for row in await connection.execute(text(rows)):
                silent(str(tuple(row)), rows)
        newest = (await connection.execute(text("SELECT max(id) FROM events"))).scalar_one()
    async with served(api) as client, client.stream("GET", "/v1/watch", headers={"Last-Event-ID": "0"}) as stream:
        async for line in stream.aiter_lines():
            silent(line, "watch")
            if line == f"id: {newest}":
                break
    for line in logged.lines:
        silent(line, "log")
    logged.lines.clear()


async def test_a_probe_without_a_secret_is_shown_as_it_is(api: Api) -> None:
    """So the test above does not pass because everything is hidden."""
    config = {"image": "web:1", "env": {"COLOR": "blue", "MONKEY": "see"}, "command": ["app", "--port", "80"]}
    health = HealthSpec.model_validate({"exec": {"command": ["check", "--fast"]}}).model_dump(mode="json")
    spec = {"compute": {"provider": "docker", "config": config}, "health": health}
    shown = (await api.client.post("/v1/tenants", json={"name": "acme", "spec": spec})).json()
    assert shown["spec"]["compute"]["config"] == config
    assert shown["spec"]["health"]["exec"] == {"command": ["check", "--fast"]}
