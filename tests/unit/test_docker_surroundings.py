"""What people bring along for a container: user, names, limits, memory as files, output. Each has bounds, and what
reaches the machine takes a setting and an admin."""

from typing import Any

import pytest

from controlplane.errors import InvalidConfig
from controlplane.model import ComputeSpec, HealthSpec, TenantSpec
from controlplane.model.masking import MASK, mask, mask_at
from providers.compute.docker.config import DockerConfig
from providers.compute.docker.container import creation_body, environment, grace
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from providers.compute.docker.refusals import refused_start
from tests.unit.builders import OWNERSHIP

SECRET = "hunter2-surroundings"
ALL: dict[str, Any] = {
    "user": "1000:app",
    "group_add": ["audio", "2000"],
    "working_dir": "/srv/app",
    "entrypoint": ["/bin/serve", "--all"],
    "hostname": "acme-1.example.com",
    "stop_grace_seconds": 0,
    "stop_signal": "SIGQUIT",
    "labels": {"traefik.http.routers.acme.rule": "Host(`acme.example.com`)"},
    "extra_hosts": ["db.internal:10.0.0.5", "here:host-gateway", "six:[fd00::1]", "other:fd00::2"],
    "shm_size_mib": 128,
    "tmpfs": ["/run", {"target": "/tmp", "size_mib": 16}],
    "read_only": True,
    "ulimits": {"nofile": 65536, "core": {"soft": 0, "hard": -1}, "memlock": -1},
    "dns": ["9.9.9.9", "::1"],
    "log_driver": "local",
    "log_options": {"max-size": "10m", "max-file": "3", "compress": "false"},
    "init": True,
    "registry_auth": {"secret": "file:registry"},
}


def refusals(config: dict[str, Any], **policy: Any) -> dict[str, str]:
    """loc → message; empty if it is accepted."""
    try:
        DockerCompute(policy=DockerPolicy(**policy)).validate({"image": "web:1", **config}, HealthSpec())
    except InvalidConfig as error:
        return {item["loc"]: item["message"] for item in error.errors}
    return {}


def body(config: dict[str, Any]) -> dict[str, Any]:
    return creation_body(DockerConfig.model_validate({"image": "web:1", **config}), OWNERSHIP, None, HealthSpec())


def test_all_of_it_is_accepted() -> None:
    assert refusals(ALL) == {}
    assert DockerCompute().host_access({"image": "web:1", **ALL}) == []


@pytest.mark.parametrize(
    ("config", "loc", "message"),
    [
        ({"user": "-u 0"}, "user", "pattern"),
        ({"user": "a:b:c"}, "user", "pattern"),
        ({"group_add": ["a:b"]}, "group_add.0", "pattern"),
        ({"group_add": [2000]}, "group_add.0", "valid string"),
        ({"group_add": ["a"] * 33}, "group_add", "at most 32"),
        ({"working_dir": "app"}, "working_dir", "pattern"),
        ({"working_dir": "/a\x00"}, "working_dir", "pattern"),
        ({"entrypoint": []}, "entrypoint", "leave it out"),
        ({"entrypoint": " "}, "entrypoint", "leave it out"),
        ({"entrypoint": "a 'b"}, "entrypoint", "cannot be split"),
        ({"hostname": "a_b"}, "hostname", "pattern"),
        ({"hostname": "a" * 64}, "hostname", "at most 63"),
        ({"stop_grace_seconds": -1}, "stop_grace_seconds", "greater than or equal to 0"),
        ({"stop_grace_seconds": 301}, "stop_grace_seconds", "less than or equal to 300"),
        ({"stop_grace_seconds": 1.5}, "stop_grace_seconds", "integer"),
        ({"stop_signal": "SIGNOTHING"}, "stop_signal", "`SIGTERM`"),
        ({"stop_signal": "65"}, "stop_signal", "`SIGTERM`"),
        ({"stop_signal": "RTMIN+16"}, "stop_signal", "`SIGTERM`"),
        ({"labels": {"landlord.owner": "me"}}, "labels", "Landlord's own"),
        ({"labels": {"Landlord.Tenant": "me"}}, "labels", "Landlord's own"),
        ({"labels": {"a b": "me"}}, "labels", "without a space"),
        ({"labels": {"a": 1}}, "labels.a", "valid string"),
        ({"labels": {"a": "\x00"}}, "labels.a", "pattern"),
        ({"labels": {f"l{i}": "" for i in range(129)}}, "labels", "at most 128"),
        ({"extra_hosts": ["db"]}, "extra_hosts.0", "IP address or `host-gateway`"),
        ({"extra_hosts": ["db:elsewhere"]}, "extra_hosts.0", "IP address or `host-gateway`"),
        ({"extra_hosts": ["a b:10.0.0.1"]}, "extra_hosts.0", "NAME:ADDRESS"),
        ({"extra_hosts": ["a:10.0.0.1"] * 65}, "extra_hosts", "at most 64"),
        ({"shm_size_mib": 0}, "shm_size_mib", "greater than or equal to 1"),
        ({"shm_size_mib": 2**16 + 1}, "shm_size_mib", "less than or equal to 65536"),
        ({"tmpfs": ["run"]}, "tmpfs.0", "must be /PATH"),
        ({"tmpfs": ["/run:size=1g"]}, "tmpfs.0", '"size_mib": 64'),
        ({"tmpfs": ["/"]}, "tmpfs.0", "must be /PATH"),
        ({"tmpfs": [{"target": "/run", "size_mib": 0}]}, "tmpfs.0.size_mib", "greater than or equal to 1"),
        ({"tmpfs": ["/data/"], "volumes": ["data:/data"]}, "tmpfs", "a target is given twice"),
        ({"ulimits": {"files": 1}}, "ulimits.files.[key]", "'nofile'"),
        ({"ulimits": {"nofile": 2**20 + 1}}, "ulimits", "1 to 1048576"),
        ({"ulimits": {"nofile": -1}}, "ulimits", "1 to 1048576"),
        ({"ulimits": {"core": {"soft": 2, "hard": 1}}}, "ulimits.core", "soft is above hard"),
        ({"ulimits": {"core": {"soft": -1, "hard": 1}}}, "ulimits.core", "soft is above hard"),
        ({"dns": ["resolver"]}, "dns.0", "IP address"),
        ({"dns": ["9.9.9.9"] * 9}, "dns", "at most 8"),
        ({"log_driver": "printer"}, "log_driver", "'json-file'"),
        ({"log_options": {"mode": "non-blocking"}}, "log_options.mode", "json-file has compress, env"),
        ({"log_driver": "none", "log_options": {"max-size": "1m"}}, "log_options.max-size", "none has none"),
        ({"log_options": {"max-size": "-1"}}, "log_options.max-size", "up to 100m"),
        ({"log_options": {"max-size": "1g"}}, "log_options.max-size", "up to 100m"),
        ({"log_driver": "local", "log_options": {"max-file": "11"}}, "log_options.max-file", "1 to 10"),
        ({"log_options": {"compress": "yes"}}, "log_options.compress", "`true` or `false`"),
        ({"log_options": {"compress": "true", "max-file": "1"}}, "log_options.compress", "max-file of 2"),
        ({"log_options": {"max-file": 2}}, "log_options.max-file", "valid string"),
        ({"log_options": {"tag": "{{pad .Name 2000000000 0}}"}}, "log_options.tag", "may have {{.Name}}"),
        ({"log_options": {"tag": "{{.Name | printf `%s`}}"}}, "log_options.tag", "no other braces"),
        ({"log_options": {"tag": "{{.Config}}"}}, "log_options.tag", "no other braces"),
        ({"registry_auth": f"user:{SECRET}"}, "registry_auth", "must be a reference to a secret"),
        ({"registry_auth": {"username": "user", "password": SECRET}}, "registry_auth", "must be a reference"),
        ({"registry_auth": {"secret": "env:HOME"}}, "registry_auth", "env:LANDLORD_SECRET_"),
    ],
)
def test_what_can_never_work_names_its_field(config: dict[str, Any], loc: str, message: str) -> None:
    found = refusals(config)
    assert list(found) == [loc]
    assert message in found[loc]
    assert SECRET not in found[loc]


@pytest.mark.parametrize("gpus", ["some", 0, 65, [], ["-1"], True])
def test_gpus_are_all_or_some(gpus: Any) -> None:
    assert {place.partition(".")[0] for place in refusals({"gpus": gpus}, allow_host_access=True)} == {"gpus"}


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "15", "RTMIN", "SIGRTMIN+3", "RTMAX-14", "SIGWINCH"])
def test_signals_are_written_as_docker_reads_them(name: str) -> None:
    assert refusals({"stop_signal": name}) == {}


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        *(({"log_driver": name}, "log_driver") for name in ("journald", "syslog", "fluentd", "awslogs", "splunk")),
        ({"ulimits": {"rtprio": 99}}, "ulimits.rtprio"),
        ({"ulimits": {"nice": 40}}, "ulimits.nice"),
        *(({"gpus": gpus}, "gpus") for gpus in ("all", 2, ["0", "GPU-3a2b"])),
    ],
)
def test_what_reaches_the_machine_takes_a_setting_and_an_admin(change: dict[str, Any], loc: str) -> None:
    assert list(refusals(change)) == [loc]
    assert "LANDLORD_DOCKER_ALLOW_HOST_ACCESS" in refusals(change)[loc]
    assert refusals(change, allow_host_access=True) == {}
    assert DockerCompute().host_access({"image": "web:1", **change}) == [loc]


def test_docker_engine_is_told_each_of_them() -> None:
    made = body(ALL)
    told = {name: made[name] for name in ("User", "WorkingDir", "Entrypoint", "Hostname", "StopTimeout", "StopSignal")}
    assert told == {
        "User": "1000:app",
        "WorkingDir": "/srv/app",
        "Entrypoint": ["/bin/serve", "--all"],
        "Hostname": "acme-1.example.com",
        "StopTimeout": 0,
        "StopSignal": "SIGQUIT",
    }
    host = made["HostConfig"]
    assert {name: host[name] for name in ("GroupAdd", "ExtraHosts", "Dns", "Init", "ReadonlyRootfs", "ShmSize")} == {
        "GroupAdd": ["audio", "2000"],
        "ExtraHosts": ALL["extra_hosts"],
        "Dns": ["9.9.9.9", "::1"],
        "Init": True,
        "ReadonlyRootfs": True,
        "ShmSize": 128 << 20,
    }
    assert host["Mounts"] == [
        {"Type": "tmpfs", "Target": target, "TmpfsOptions": {"SizeBytes": size << 20, "Mode": 0o1777}}
        for target, size in (("/run", 64), ("/tmp", 16))
    ]
    assert host["Ulimits"] == [
        {"Name": "core", "Soft": 0, "Hard": -1},
        {"Name": "memlock", "Soft": -1, "Hard": -1},
        {"Name": "nofile", "Soft": 65536, "Hard": 65536},
    ]
    assert host["LogConfig"] == {"Type": "local", "Config": ALL["log_options"]}
    assert "registry" not in str(made)


@pytest.mark.parametrize(
    ("gpus", "asked"),
    [("all", {"Count": -1}), (2, {"Count": 2}), (["0", "GPU-3a2b"], {"DeviceIDs": ["0", "GPU-3a2b"]})],
)
def test_gpus_are_asked_for_as_docker_run_does(gpus: Any, asked: dict[str, Any]) -> None:
    assert body({"gpus": gpus})["HostConfig"]["DeviceRequests"] == [{"Capabilities": [["gpu"]], **asked}]


def test_a_plan_shows_each_of_them() -> None:
    """And stars for what is secret there; a reference is none."""
    provider = DockerCompute()
    before, after = {"image": "web:1"}, {"image": "web:1", **ALL, "gpus": "all", "pull": "always"}
    changes = {change.path: mask_at(change.path, change.after) for change in provider.diff(before, after)}
    assert {path.partition(".")[0] for path in changes} == {*ALL, "gpus", "pull"}
    assert changes["registry_auth.secret"] == "file:registry"
    assert mask({"registry_auth": "file:registry"}) == {"registry_auth": MASK}


def test_left_out_they_are_the_images_and_docker_engines() -> None:
    made = body({})
    assert not {"User", "WorkingDir", "Entrypoint", "Hostname", "StopTimeout", "StopSignal"} & set(made)
    assert not {
        "GroupAdd",
        "ExtraHosts",
        "Dns",
        "Init",
        "ReadonlyRootfs",
        "ShmSize",
        "Ulimits",
        "DeviceRequests",
    } & set(made["HostConfig"])
    assert made["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}


def test_output_stays_bounded_whatever_options_are_left_out() -> None:
    def options(config: dict[str, Any]) -> Any:
        return body(config)["HostConfig"]["LogConfig"]["Config"]

    for tag in ("acme", "{{.Name}}/{{ .ID }}"):
        assert options({"log_options": {"tag": tag}}) == {"max-size": "1m", "max-file": "2", "tag": tag}
    assert options({"log_driver": "local", "log_options": {"max-file": "5"}}) == {"max-size": "1m", "max-file": "5"}
    assert options({"log_driver": "none"}) == {}
    assert options({"log_driver": "syslog", "log_options": {"tag": "a"}}) == {"tag": "a"}


def test_no_label_of_a_spec_takes_the_place_of_ours() -> None:
    config = DockerConfig.model_construct(image="web:1", labels={"landlord.owner": "me", "team": "a"})
    labels = creation_body(config, OWNERSHIP, None, HealthSpec())["Labels"]
    assert (labels["landlord.owner"], labels["team"]) == ("test", "a")


def test_a_field_that_a_spec_leaves_out_changes_no_hash() -> None:
    """The hash of a release that had none of these fields."""
    spec = TenantSpec(
        compute=ComputeSpec(provider="docker", config={"image": "web:1"}),
        health=HealthSpec.model_validate({"http": {}}),
    )
    assert spec.hash == "96ce92a055f2edc8"


def test_secrets_in_log_options_are_stars_and_leave_no_text() -> None:
    options = {"splunk-token": SECRET, "apikey": SECRET, "tag": "acme"}
    assert mask({"log_options": options}) == {"log_options": {"splunk-token": MASK, "apikey": MASK, "tag": "acme"}}
    details = {
        "Config": {"Env": None, "Cmd": None, "Entrypoint": ["serve", "--password", "hunter3-entry"]},
        "HostConfig": {"LogConfig": {"Type": "splunk", "Config": options}},
    }
    assert {SECRET, "hunter3-entry"} <= set(environment(details))
    assert SECRET not in repr(DockerConfig.model_validate({"image": "web:1", "log_options": options}))


@pytest.mark.parametrize("found", [None, 0, 30])
def test_a_container_says_how_long_it_may_take_to_end(found: int | None) -> None:
    assert grace({"Config": {"StopTimeout": found}}) == found


def test_a_machine_without_gpus_says_so() -> None:
    found = refused_start("web:1", ["serve"], 500, 'could not select device driver "" with capabilities: [[gpu]]')
    assert isinstance(found, InvalidConfig)
    assert "install the NVIDIA Container Toolkit" in found.message


def test_a_user_that_the_image_does_not_have_never_works() -> None:
    text = "unable to find user nobody-here: no matching entries in passwd file"
    assert isinstance(refused_start("web:1", ["serve"], 400, text), InvalidConfig)
