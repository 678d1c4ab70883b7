"""Providers by name: what a setting enables, and what an unknown name is answered."""

import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import ProviderNotEnabled, SettingsError
from controlplane.settings import Settings, load_settings
from providers import registry
from providers.compute.docker.provider import DockerCompute
from providers.compute.fake import FakeCompute
from providers.compute.process.provider import ProcessCompute

POINTS = {
    registry.COMPUTE: {
        "docker": "providers.compute.docker.provider:DockerCompute",
        "fake": "providers.compute.fake:FakeCompute",
        "process": "providers.compute.process.provider:ProcessCompute",
        "broken": "providers.compute.no_such_module:Nothing",
    },
    registry.WORKFLOW: {
        "embedded": "providers.compute.fake:FakeCloud",
        "other": "providers.compute.fake:FakeCloud",
        "restate": "providers.workflow.restate.provider:RestateWorkflow",
        "stepfunctions": "providers.compute.no_such_module:Nothing",
    },
}


@pytest.fixture(autouse=True)
def _entry_points(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def installed(group: str) -> EntryPoints:
        return EntryPoints(EntryPoint(name, value, group) for name, value in POINTS[group].items())

    monkeypatch.setattr(registry, "entry_points", installed)
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # `process` is there by default
    registry._known.cache_clear()
    yield
    registry._known.cache_clear()


def settings(home: Path, **given: str) -> Settings:
    return load_settings({"LANDLORD_HOME": str(home), **given})


def test_the_setting_says_which_and_in_which_order(tmp_path: Path) -> None:
    enabled = registry.enabled_compute(settings(tmp_path, LANDLORD_COMPUTE_PROVIDERS="fake, process"))
    assert list(enabled) == ["fake", "process"]
    assert isinstance(enabled["fake"], FakeCompute)
    assert enabled["fake"] is enabled["fake"]


def test_a_provider_is_loaded_when_it_is_looked_up(tmp_path: Path) -> None:
    enabled = registry.enabled_compute(settings(tmp_path, LANDLORD_COMPUTE_PROVIDERS="process,broken"))
    assert isinstance(enabled["process"], ProcessCompute)
    assert list(enabled.built) == [enabled["process"]]
    with pytest.raises(SettingsError, match=r"'broken'.*cannot be loaded"):
        enabled["broken"]


@pytest.mark.parametrize(("answers", "names"), [(True, ("process", "docker")), (False, ("process",))])
def test_without_the_setting_docker_is_enabled_where_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(DockerCompute, "available", classmethod(lambda cls, settings: answers))
    assert registry.enabled_names(settings(tmp_path)) == names


def test_without_root_process_waits_for_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tenants would be able to do all that we may."""
    answers = [True]
    monkeypatch.setattr(DockerCompute, "available", classmethod(lambda cls, settings: answers[0]))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    unsafe = {"LANDLORD_PROCESS_UNSAFE": "true"}
    assert registry.enabled_names(settings(tmp_path)) == ("docker",)
    assert registry.enabled_names(settings(tmp_path, **unsafe)) == ("process", "docker")
    answers[0] = False
    with pytest.raises(SettingsError, match="LANDLORD_PROCESS_UNSAFE=true"):
        registry.enabled_names(settings(tmp_path))
    asked_for = {"LANDLORD_COMPUTE_PROVIDERS": "process"}
    with pytest.raises(SettingsError, match="LANDLORD_PROCESS_UNSAFE: only root can"):
        registry.enabled_compute(settings(tmp_path, **asked_for))["process"]
    registry.enabled_compute(settings(tmp_path, **asked_for, **unsafe))["process"]
    with pytest.raises(SettingsError, match="LANDLORD_PROCESS_ROLE"):
        registry.enabled_compute(settings(tmp_path, **asked_for, **unsafe, LANDLORD_PROCESS_ROLE="operator"))["process"]


def test_docker_is_not_available_where_nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    assert not DockerCompute.available(settings(tmp_path))


@pytest.mark.parametrize("name", ["nope", "process,nope"])
def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        SettingsError, match=r"LANDLORD_COMPUTE_PROVIDERS.*'nope'; known: broken, docker, fake, process"
    ):
        registry.enabled_compute(settings(tmp_path, LANDLORD_COMPUTE_PROVIDERS=name))


def test_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LANDLORD_COMPUTE_PROVIDERS"):
        registry.enabled_names(settings(tmp_path, LANDLORD_COMPUTE_PROVIDERS=","))


def test_what_is_not_enabled_is_named_with_what_is(tmp_path: Path) -> None:
    enabled: Any = registry.enabled_compute(settings(tmp_path, LANDLORD_COMPUTE_PROVIDERS="process,fake"))
    with pytest.raises(ProviderNotEnabled, match="'docker' is not enabled here; enabled: process, fake") as refused:
        enabled["docker"]
    assert refused.value.enabled == ["process", "fake"]
    assert "docker" not in enabled
    assert enabled.get("docker") is None


def test_the_default_engine_comes_first_and_embedded_always(tmp_path: Path) -> None:
    assert registry.enabled_workflow_names(settings(tmp_path)) == ("embedded",)
    other = settings(tmp_path, LANDLORD_WORKFLOW_PROVIDER="other")
    assert registry.enabled_workflow_names(other) == ("other", "embedded")
    with pytest.raises(
        SettingsError, match=r"LANDLORD_WORKFLOW_PROVIDER.*'nope'; known: embedded, other, restate, stepfunctions"
    ):
        registry.enabled_workflow_names(settings(tmp_path, LANDLORD_WORKFLOW_PROVIDER="nope"))


def test_an_engine_whose_settings_are_given_may_be_chosen(tmp_path: Path) -> None:
    """The others are not even imported."""
    half = settings(tmp_path, LANDLORD_RESTATE_INGRESS_URL="http://127.0.0.1:1")
    assert registry.enabled_workflow_names(half) == ("embedded",)
    both = settings(
        tmp_path,
        LANDLORD_RESTATE_INGRESS_URL="http://127.0.0.1:1",
        LANDLORD_RESTATE_ADMIN_URL="http://127.0.0.1:2",
        LANDLORD_RESTATE_UNSIGNED="true",
    )
    assert registry.enabled_workflow_names(both) == ("embedded", "restate")


def test_engines_that_work_in_the_tenants_own_actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POINTS[registry.WORKFLOW], "embedded", "providers.workflow.embedded:EmbeddedWorkflow")
    urls = {"LANDLORD_RESTATE_INGRESS_URL": "http://127.0.0.1:1", "LANDLORD_RESTATE_ADMIN_URL": "http://127.0.0.1:2"}
    both = settings(tmp_path, **urls, LANDLORD_RESTATE_UNSIGNED="true")
    assert set(registry.enabled_workflow_names(both)) == {"embedded", "restate"}
    assert registry.in_owner(both) == {"embedded"}


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({}, "LANDLORD_RESTATE_IDENTITY_KEY: give the key"),
        ({"IDENTITY_KEY": "publickeyv1_x"}, None),
        ({"IDENTITY_KEY": "publickeyv1_x", "ADMIN_URL": "http://10.0.0.1:1"}, None),
        ({"UNSIGNED": "true"}, None),
        ({"UNSIGNED": "true", "ADMIN_URL": "http://localhost:1"}, None),
        ({"UNSIGNED": "true", "ADMIN_URL": "http://[::1]:1"}, None),
        ({"UNSIGNED": "true", "ADMIN_URL": "http://10.0.0.1:1"}, "10.0.0.1:1 is elsewhere"),
        ({"UNSIGNED": "true", "INGRESS_URL": "http://restate:1"}, "restate:1 is elsewhere"),
        ({"UNSIGNED": "true", "ENDPOINT_URL": "https://me.example"}, "me.example is elsewhere"),
        ({"UNSIGNED": "true", "ADMIN_URL": "http://127.0.0.1.x.org"}, "x.org is elsewhere"),
    ],
)
def test_a_restate_that_does_not_sign_is_on_this_machine_and_wanted(
    tmp_path: Path, given: dict[str, str], refused: str | None
) -> None:
    addresses = {"INGRESS_URL": "http://127.0.0.1:1", "ADMIN_URL": "http://127.0.0.1:2", **given}
    environment = {f"LANDLORD_RESTATE_{name}": value for name, value in addresses.items()}
    if refused is None:
        assert registry.enabled_workflow_names(settings(tmp_path, **environment))[-1] == "restate"
        return
    with pytest.raises(SettingsError, match=refused):
        settings(tmp_path, **environment)
