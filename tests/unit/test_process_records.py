"""State files of tenants' processes that lack something: of another release, of a hand, of a disk that was full."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from controlplane.ports import OWNER_LABEL
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute_bench import desire

OWNER = "test-owner"
SLEEP: Mapping[str, Any] = {"command": ["sleep", "{port}"]}


def write(root: Path, name: str, state: object, run: object = None) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "state.json").write_text(json.dumps(state))
    (root / name / "lock").touch()
    if run is not None:
        (root / name / "run.json").write_text(json.dumps(run))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"id": None, "port": None, "env": None, "created_at": "yesterday"},
        {"labels": {OWNER_LABEL: OWNER, "landlord.tenant-id": "nobody", "landlord.generation": 7}, "work": 3},
    ],
)
@pytest.mark.parametrize("run", [None, {}, {"pid": 1}, {"pid": 1, "exit_code": 1}])
async def test_what_bears_our_owners_label_is_listed_and_can_go(
    tmp_path: Path, more: dict[str, Any], run: object
) -> None:
    provider = ProcessCompute(tmp_path)
    write(tmp_path, "stray", {"labels": {OWNER_LABEL: OWNER}, **more}, run)
    (found,) = await provider.list_owned(OWNER)
    assert (found.name, found.origin.execution_id) == ("stray", "")
    assert await provider.list_owned(OWNER, uuid4()) == []
    assert await provider.inspect(found.id) == found
    await provider.destroy(found.id)
    assert await provider.list_owned(OWNER) == []
    await provider.close()


async def test_what_is_nobodys_is_no_obstacle(tmp_path: Path) -> None:
    provider = ProcessCompute(tmp_path)
    for number, state in enumerate(({}, {"labels": None}, {"labels": {"landlord.tenant": "acme"}}, [], "text")):
        write(tmp_path, f"stray-{number}", state)
    assert await provider.list_owned(OWNER) == []
    desired = desire(OWNER, SLEEP)
    assert await provider.create(desired) is not None
    assert [found.name for found in await provider.list_owned(OWNER)] == [desired.origin.name]
    await provider.close()
