"""Ray's own command line, and what it may not show."""

from typing import Any

import pytest
import ray._private.node
import ray._private.services

from actors.ray_start import CREDENTIALS, hide_credentials
from controlplane.local import head_store


def test_only_rays_store_gets_the_password_and_nobody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], str, dict[str, Any]]] = []
    asked: list[tuple[Any, ...]] = []

    def start(command: list[str], process_type: str, **options: Any) -> None:
        started.append((command, process_type, options))

    monkeypatch.setattr(ray._private.services, "start_ray_process", start)
    monkeypatch.setattr(ray._private.node, "get_session_key_from_storage", lambda *words: asked.append(words))
    hide_credentials({"redis_username": "ray", "redis_password": "hush"})
    services: Any = ray._private.services
    services.start_ray_process(["gcs_server"], "gcs_server", fate_share=False)
    services.start_ray_process(["raylet"], "raylet")
    node: Any = ray._private.node
    node.get_session_key_from_storage("redis", 6379, "", "", False, b"", b"session_name")

    (store, _, options), other = started
    assert store == ["gcs_server", "--fromenv=redis_username,redis_password"]
    assert options == {
        "fate_share": False,
        "env_updates": {"FLAGS_redis_username": "ray", "FLAGS_redis_password": "hush"},
    }
    assert other == (["raylet"], "raylet", {})
    assert asked == [("redis", 6379, "ray", "hush", False, b"", b"session_name")]


def test_it_is_handed_over_by_the_name_under_which_it_is_taken() -> None:
    assert list(CREDENTIALS.values()) == [head_store.USERNAME, head_store.PASSWORD]
