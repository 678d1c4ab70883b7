"""The pictures of the terminal in the docs are what a terminal shows: their script makes them of a control plane."""

import asyncio
import re
import runpy

import pytest
from rich.text import Text

from tests.e2e.installation import Installation
from tests.pages import DOCS

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]

NAMES = ("on-screen", "slow-on-screen", "ill-on-screen")
SCREENS = runpy.run_path(str(DOCS / "screens.py"))


async def test_each_screen_is_taken_from_a_terminal(installation: Installation) -> None:
    taken = await asyncio.to_thread(lambda: list(SCREENS["screens"](installation.environ, NAMES)))
    try:
        plain = {name: Text.from_ansi(text).plain for name, _, text in taken}
        assert {f"screen-{name}.svg" for name in plain} == {path.name for path in (DOCS / "img").glob("screen-*.svg")}
        assert "on-screen: ready after" in plain["created"]
        assert re.search(
            r"\d+ ready(?s:.*)slow-on-screen .*wait_healthy(?s:.*)ill-on-screen .*no such image", plain["top"]
        )
        assert "tenant.switched" in plain["watch"]
        assert all("\x1b[" in text for _, _, text in taken), "with their colours"
        drawn = SCREENS["svg"](*taken[-1])
        assert "on-screen" in drawn
    finally:
        for name in NAMES:
            await asyncio.to_thread(installation.run, "tenant", "delete", name, "--wait")
