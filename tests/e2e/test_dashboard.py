"""The picture of Ray's dashboard in the docs is what Chromium shows: its script makes it of a control plane."""

import runpy
import struct

import pytest

from tests.e2e.installation import Installation, gone, ready
from tests.pages import DOCS

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(600)]

DASHBOARD = runpy.run_path(str(DOCS / "dashboard.py"))


async def test_each_picture_is_taken_of_what_chromium_shows(installation: Installation) -> None:
    """The script itself waits for the names of the live actors on the page."""
    name = "photographed"
    async with installation.http() as client:
        spec = {"compute": {"provider": "fake", "config": {}}}
        (await client.post("/tenants", json={"name": name, "spec": spec})).raise_for_status()
        await ready(client, name)
        taken = {page: png async for page, png in DASHBOARD["photographs"](installation.environ, (name,))}
        await client.delete(f"/tenants/{name}")
        await gone(client, name)
    assert {f"dashboard-{page}.png" for page in taken} == {path.name for path in (DOCS / "img").glob("dashboard-*.png")}
    for png in taken.values():
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">I", png[16:20]) == (DASHBOARD["SIZE"][0],)
        assert len(png) > 10_000, "an empty page"
