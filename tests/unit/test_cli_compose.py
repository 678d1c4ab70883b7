"""Compose files, written after the shapes that public projects use, as specs: `compose/`, and what is expected of
each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import Result

from controlplane.cli.compose import ComposeError, Source, Translation, find_service, translate
from controlplane.cli.compose.quantities import mebibytes, seconds
from controlplane.model import SENT, TenantSpec
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from tests.pages import ROOT
from tests.unit.plain_server import Server, run, server, tenant

__all__ = ["run", "server"]  # fixtures

FILES = Path(__file__).parent / "compose"
NAMES = sorted(file.stem for file in FILES.glob("*.yaml"))
ENVIRON = {"TAG": "16", "DB_PASSWORD": "hunter2", "TZ": "Europe/Berlin"}
KEYS = """
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count
cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy
develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends
external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging
mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable
oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles provider pull_policy
pull_refresh_after read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period
stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir
"""
"""Of a service, by the compose specification."""


def read(path: str) -> str:
    return (FILES / path).read_text()


def translated(text: str, service: str | None = None, environ: dict[str, str] = ENVIRON) -> Translation:
    source = Source(read, environ)
    return translate(*find_service(text, service, source), source)


def of(**service: Any) -> Translation:
    """A service of these keys, with an image."""
    return translated(yaml.safe_dump({"services": {"web": {"image": "web:1", **service}}}))


def test_there_are_twenty_and_each_has_its_expectation() -> None:
    assert len(NAMES) == 20
    assert sorted(file.stem for file in (FILES / "expected").iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_service_becomes_a_spec_and_what_is_left_is_named(name: str) -> None:
    expected = yaml.safe_load((FILES / "expected" / f"{name}.yaml").read_text())
    found = translated(read(f"{name}.yaml"), expected["service"])
    assert found.spec == expected["spec"]
    assert [left.key for left in found.leftovers] == expected["left"]
    assert all(left.instead and not left.instead.endswith(".") for left in found.leftovers)
    # What comes out is what the API takes.
    spec = TenantSpec.model_validate(found.spec, context=SENT)
    config = {"image": "built:1", **spec.compute.config}
    DockerCompute(policy=DockerPolicy(allow_host_access=True)).validate(config, spec.health)


def test_no_key_of_the_specification_is_strange_and_none_is_lost() -> None:
    lost = []
    for key in KEYS.split():
        values: dict[str, Any] = {"extends": "web", "profiles": ["a"], "healthcheck": {"test": "true"}}
        service = {"image": "web:1", key: values.get(key, "true")}
        try:
            found = translated(yaml.safe_dump({"services": {"web": {"image": "web:1"}, "one": service}}), "one")
        except ComposeError as error:
            if f"one.{key}" in str(error):
                continue  # it is read, and this value is wrong
            raise
        told = " ".join(left.instead for left in found.leftovers)
        carried = len(found.spec["compute"]["config"]) > 1 or "health" in found.spec
        if "is no key of a compose service" in told or not (carried or told or key in ("image", "extends", "profiles")):
            lost.append(key)
    assert lost == []


def test_the_page_names_each_key() -> None:
    page = (ROOT / "docs" / "compose.md").read_text()
    assert [key for key in KEYS.split() if f"`{key}`" not in page] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: {}", "services: there is no service in this file"),
        ("include: [other.yaml]", "takes services from other files by `include`: name that file"),
        ("services: {a: {image: x}, b: {image: y}}", "say which one, as in FILE:a: a, b"),
        ("services: {a: {command: x}}", "services.a.image: is not there"),
        ("services: {a: [image]}", "services.a: must be a mapping"),
        ("services: {a: {image: x}}\n---\nservices: {}", "must hold one mapping"),
        ("services: {a: {image: x, image: y}}", "is there twice"),
        ("services: {a: {image: '${TAG'}}", "services.a.image: '${TAG' has a ${ without its }"),
        ("services: {a: {image: x, command: 'echo $ 5'}}", "write $$ for a dollar sign"),
        ("services: {a: {image: 'x:${NONE:?name a tag}'}}", "the variable NONE must be set: name a tag"),
        ("services: {a: {image: 'x:${TAG^^}'}}", "services.a.image: ${TAG^^} is not understood"),
        ("services: {a: {extends: b}}", "there is no 'b'; there are a"),
        ("services: {a: {extends: a}}", "extend each other without end"),
        ("services: {a: {extends: {file: none.yaml, service: b}}}", "none.yaml cannot be read"),
        ("services: {a: {image: x, env_file: none.env}}", "services.a.env_file.0: none.env cannot be read"),
        ("services: {a: {image: x, ports: [web]}}", "services.a.ports.0: 'web' is no port"),
        ("services: {a: {image: x, ports: ['99999:80']}}", "services.a.ports.0: 99999 is no port"),
        ("services: {a: {image: x, mem_limit: much}}", "services.a.mem_limit: 'much' is no size"),
        ("services: {a: {image: x, stop_grace_period: soon}}", "services.a.stop_grace_period: 'soon' is no time"),
        ("services: {a: {image: x, environment: [1, [2]]}}", "environment: must be a mapping, or a list"),
        ("services: {a: {image: x, volumes: ['data:relative']}}", "'relative' is no path in the container"),
        ("services: {a: {image: x, restart: perhaps}}", "services.a.restart: 'perhaps' is none of no, always"),
        ("services: {a: {image: x, healthcheck: {test: [curl, x]}}}", "begins with CMD or CMD-SHELL"),
        ("services: {a: {image: x, privileged: perhaps}}", "services.a.privileged: 'perhaps' is neither true"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(text: str, message: str) -> None:
    with pytest.raises(ComposeError) as error:
        translated(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        ("${TAG}-$TAG", "16-16"),
        ("$$TAG $${TAG}", "$TAG ${TAG}"),
        ("${NONE:-a}${NONE-b}${EMPTY:-c}${EMPTY-d}", "abc"),
        ("${TAG:+x}${NONE:+y}${EMPTY+z}${EMPTY:+no}", "xz"),
        ("${NONE:-${OTHER:-${TAG}}}", "16"),
        ("${NONE:-a:-b}", "a:-b"),
        ("${NONE:-}", ""),
        ("${TAG?no}", "16"),
        ("a$NONE.b", "a.b"),
    ],
)
def test_variables_are_filled_in_as_compose_does(written: str, filled: str) -> None:
    document = {"services": {"web": {"image": "x", "environment": {"V": written}}}}
    found = translated(yaml.safe_dump(document), None, {**ENVIRON, "EMPTY": ""})
    assert found.spec["compute"]["config"]["env"] == {"V": filled}
    unset = ["${NONE}"] if written == "a$NONE.b" else []
    assert [left.key for left in found.leftovers] == unset


def test_times_and_sizes() -> None:
    assert [seconds(text, "") for text in ("1h30m", "1.5s", "500ms", 7, "7")] == [5400, 1.5, 0.5, 7, 7]
    assert [mebibytes(text, "") for text in ("1g", "512M", "1.5gb", "64MiB", 1048577, "0")] == [
        1024,
        512,
        1536,
        64,
        2,
        0,
    ]


def test_secrets_of_a_file_stay_where_masks_find_them() -> None:
    found = of(environment={"DB_PASSWORD": None, "LEVEL": 3}, command="serve --token ${DB_PASSWORD}")
    assert found.spec["compute"]["config"]["env"] == {"DB_PASSWORD": "hunter2", "LEVEL": "3"}


Run = Callable[..., Result]


def test_create_sends_the_service_and_tells_what_is_left(
    server: Server, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["POST", "/v1/tenants"] = httpx.Response(202, json=tenant("requested", "pending"))
    monkeypatch.setenv("COLOR", "blue")
    (tmp_path / ".env").write_text("COLOR=red\nSIZE=large\n")
    (tmp_path / "a:b.yaml").write_text(
        "services:\n  web: {image: 'web:${SIZE}', environment: ['C=${COLOR}'], links: [db]}\n  db: {image: db}\n"
    )
    done = run("tenant", "create", "acme", "--compose", f"{tmp_path}/a:b.yaml:web", "--set", "spec.heal=none")
    assert done.exit_code == 0, done.stderr
    config = {"image": "web:large", "env": {"C": "blue"}}
    spec = {"compute": {"provider": "docker", "config": config}, "heal": "none"}
    assert server.body == {"name": "acme", "spec": spec}
    title, line = done.stderr.splitlines()
    assert title == "not carried over from web:"
    assert line.startswith("  links: make each of them a tenant")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--compose", "x.yaml", "-f", "y.yaml"], "give -f or --compose, not both"),
        (["--compose", "no-such-file.yaml:web"], "no-such-file.yaml cannot be read: No such file"),
        (["--compose", "-:db"], "-: services: there is no 'db'; there are web"),
    ],
)
def test_a_compose_file_that_cannot_be_used_is_wrong_usage(run: Run, options: list[str], message: str) -> None:
    done = run("tenant", "create", "acme", *options, stdin="services: {web: {image: 'web:1'}}")
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
