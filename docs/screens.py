"""The terminal as people see it: `landlord tenant create --wait`, `top` and `tenant watch`, for docs/operations.md.

`python docs/screens.py` starts a control plane of its own, runs each command in a terminal of tmux, and writes what
stands there as docs/img/screen-*.svg. `make screens` calls it.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from socket import socket

from rich.console import Console
from rich.text import Text

IMAGES = Path(__file__).parent / "img"
LANDLORD = Path(sys.executable).with_name("landlord")
COLUMNS, LINES = 140, 18
SECONDS = 150.0
"""More than the command takes to say that nobody answers."""
CHANGES = 5
SPEC = "spec.compute.provider=fake"
NAMES = ("acme", "globex", "initech")
SLOW, WRONG = "spec.compute.config.health=[starting]", "spec.compute.config.refuses=no such image"

# Rich's own form, without its fonts, which come from another server.
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""


class Terminal:
    """A terminal in which one command runs. `text` is what stands there now."""

    def __init__(self, tmux: Sequence[str]) -> None:
        self._tmux = tmux

    @property
    def text(self) -> str:
        """With its colours, as escape sequences."""
        shown = [*self._tmux, "capture-pane", "-e", "-p", "-t", "one"]
        return subprocess.run(shown, capture_output=True, text=True, check=True).stdout.rstrip()

    def until(self, pattern: str, seconds: float = SECONDS) -> str:
        give_up = time.monotonic() + seconds
        while not re.search(pattern, Text.from_ansi(text := self.text).plain):
            if time.monotonic() > give_up:
                raise TimeoutError(f"{pattern} does not come:\n{text}")
            time.sleep(0.02)
        return text


@contextmanager
def terminal(environ: Mapping[str, str], *words: str) -> Iterator[Terminal]:
    """The command runs in it, and the terminal stays once it has ended."""
    if shutil.which("tmux") is None:
        raise FileNotFoundError("this needs tmux: apt-get install tmux")
    script = f"{shlex.join([str(LANDLORD), *words])}; sleep 600"
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    own = {name: value for name, value in environ.items() if name not in ("TMUX", "TMUX_PANE", "NO_COLOR")}
    # A server of its own: one that was told to end takes no session, and is there for a while.
    with tempfile.TemporaryDirectory(prefix="ll-tmux-", ignore_cleanup_errors=True) as directory:
        tmux = ["tmux", "-S", f"{directory}/s"]
        begin = [*tmux, "-f", "/dev/null", "new-session", "-d", "-s", "one", *size, "bash", "-c", script]
        subprocess.run(begin, env={**own, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}, check=True)
        try:
            yield Terminal(tmux)
        finally:
            subprocess.run([*tmux, "kill-server"], capture_output=True, check=False)


def screens(environ: Mapping[str, str], names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Name, command line and text of each, on a control plane that runs. Makes tenants of these three names, which
    stay: one is well, one is on its way, and one fails."""

    def run(*words: str, check: bool = True) -> None:
        subprocess.run([str(LANDLORD), *words], env=dict(environ), capture_output=True, check=check)

    name, slow, wrong = names
    create = ["tenant", "create", name, "--set", SPEC, "--wait"]
    with terminal(environ, *create) as shown:
        said = shlex.join(["landlord", *create])
        yield "waiting", said, shown.until(r"apply_compute|wait_healthy|ready after")
        yield "created", said, shown.until(r"tenant-[\w-]+provision")
    run("tenant", "create", slow, "--set", SPEC, "--set", SLOW)
    run("tenant", "create", wrong, "--set", SPEC, "--set", WRONG, "--wait", check=False)
    with terminal(environ, "top") as shown:
        yield "top", "landlord top", shown.until(rf"{slow} .*wait_healthy(?s:.*)Unwell(?s:.*){wrong} ")
    with terminal(environ, "tenant", "watch", name) as shown:
        shown.until("watching")
        yield "watch", f"landlord tenant watch {name}", changed_until_seen(shown, name, run)


def changed_until_seen(shown: Terminal, name: str, run: Callable[..., None]) -> str:
    """A watch begins with now, which comes some time after its first words: what was changed before is not shown."""
    for number in range(CHANGES):
        run("tenant", "update", name, "--set", f"spec.compute.config.env.COLOR=colour-{number}", "--wait")
        with suppress(TimeoutError):
            return shown.until(r"tenant\.switched(?s:.*)execution\.succeeded", 10)
    raise TimeoutError(f"no change is shown:\n{shown.text}")


def svg(title: str, command: str, text: str) -> str:
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(f"$ {command}", markup=False, highlight=False, style="bold")
    console.print(Text.from_ansi(text))
    return console.export_svg(title=title, code_format=SVG, unique_id=f"screen-{title}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ll-sc-") as home, socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LANDLORD_")}
        environ = kept | {
            "LANDLORD_HOME": f"{home}/h",
            "LANDLORD_PORT": str(port),
            "LANDLORD_COMPUTE_PROVIDERS": "fake",
            "LANDLORD_FAKE_LATENCY_SECONDS": "0.5",
            "XDG_CONFIG_HOME": f"{home}/c",
        }
        subprocess.run([LANDLORD, "up"], env=environ, check=True)
        try:
            for name, command, text in screens(environ, NAMES):
                (IMAGES / f"screen-{name}.svg").write_text(svg(name, command, text))
                print(text)
        finally:
            subprocess.run([LANDLORD, "down"], env=environ, check=True)


if __name__ == "__main__":
    main()
