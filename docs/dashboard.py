"""Ray's dashboard with tenants in it, photographed in headless Chromium, for docs/operations.md.

`python docs/dashboard.py` starts a control plane of its own with some tenants, and writes docs/img/dashboard-*.png.
`make screens` calls it.
"""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from socket import socket
from typing import Any

import aiohttp

IMAGES = Path(__file__).parent / "img"
LANDLORD = Path(sys.executable).with_name("landlord")
SECONDS = 90.0
SIZE = (1500, 760)
TENANTS = ("acme", "globex", "initech")


class Browser:
    """One page of a headless Chromium, over its own protocol."""

    def __init__(self, wire: aiohttp.ClientWebSocketResponse) -> None:
        self._wire = wire
        self._number = 0

    async def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        await self._wire.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = json.loads((await self._wire.receive(timeout=SECONDS)).data)
            if answer.get("id") == self._number:
                return answer["result"]

    async def text(self) -> str:
        """What the page shows, in words."""
        found = await self.call("Runtime.evaluate", expression="document.body ? document.body.innerText : ''")
        return str(found["result"].get("value", ""))

    async def photographed(self, url: str, *words: str) -> bytes:
        """The page as PNG, once it shows these words."""
        await self.call("Page.navigate", url=url)
        give_up, shown = time.monotonic() + SECONDS, ""
        while missing := [word for word in words if word not in shown]:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{url} does not show {missing}:\n{shown}")
            await asyncio.sleep(0.3)
            shown = await self.text()
        await asyncio.sleep(0.5)  # what moves comes to rest
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])


@contextlib.asynccontextmanager
async def browser(token: str) -> AsyncIterator[Browser]:
    """Chromium on loopback, which sends the token with each request."""
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("this needs chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="ll-cr-", ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--remote-debugging-port=0", f"--user-data-dir={profile}", f"--window-size={SIZE[0]},{SIZE[1]}"]
        process = await asyncio.create_subprocess_exec(
            program, *options, "about:blank", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            port = await asyncio.to_thread(_port, Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    page = next(one for one in await answer.json() if one["type"] == "page")
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as wire:
                    opened = Browser(wire)
                    await opened.call("Network.enable")
                    await opened.call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Bearer {token}"})
                    yield opened
        finally:
            process.kill()
            await process.wait()


def _port(file: Path) -> int:
    give_up = time.monotonic() + SECONDS
    while not (file.exists() and file.read_text().strip()):
        if time.monotonic() > give_up:
            raise TimeoutError("chromium does not come up")
        time.sleep(0.1)
    return int(file.read_text().split()[0])


async def photographs(environ: Mapping[str, str], tenants: tuple[str, ...]) -> AsyncIterator[tuple[str, bytes]]:
    """Name and PNG of each page, of a control plane whose tenants have live actors."""
    home = Path(environ["LANDLORD_HOME"])
    dashboard = f"http://127.0.0.1:{json.loads((home / 'state.json').read_text())['ports']['dashboard']}"
    async with browser((home / "ray-token").read_text().strip()) as page:
        yield "actors", await page.photographed(f"{dashboard}/#/actors", *(f"tenant:{name}" for name in tenants))


async def _take(environ: Mapping[str, str]) -> None:
    async for name, png in photographs(environ, TENANTS):
        (IMAGES / f"dashboard-{name}.png").write_bytes(png)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ll-db-") as home, socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LANDLORD_")}
        environ = kept | {
            "LANDLORD_HOME": f"{home}/h",
            "LANDLORD_PORT": str(port),
            "LANDLORD_COMPUTE_PROVIDERS": "fake",
            "XDG_CONFIG_HOME": f"{home}/c",
        }
        subprocess.run([LANDLORD, "up"], env=environ, check=True)
        try:
            for name in TENANTS:
                create = ["tenant", "create", name, "--set", "spec.compute.provider=fake", "--wait"]
                subprocess.run([LANDLORD, *create], env=environ, check=True)
            asyncio.run(_take(environ))
        finally:
            subprocess.run([LANDLORD, "down"], env=environ, check=True)


if __name__ == "__main__":
    main()
