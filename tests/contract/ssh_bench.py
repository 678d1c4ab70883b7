"""Machines that are directories, so that `ray up` goes to its end without one. Ray's launcher finds an `ssh` and an
`rsync` that run and copy there what it says; `landlord` there prepares and checks a home as the real one, and starts
nothing."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.pages import ROOT

USER = "ubuntu"
SSH = f"""
until [ "${{1#{USER}@}}" != "$1" ]; do shift; done
address=${{1#*@}}; shift
mkdir -p "$MACHINES/$address"
cd "$MACHINES/$address"
touch .bashrc
[ -e .profile ] || echo "PATH=$MACHINES/bin:/usr/bin:/bin" > .profile
export HOME=$PWD LANDLORD_HOME=$PWD/home AWS_ENDPOINT_URL=$MACHINES_ENDPOINT
export SSH_CONNECTION="192.0.2.1 50000 $address 22" PATH=$MACHINES/bin:/usr/bin:/bin
exec sh -c "$*"
"""
RSYNC = f"""
for word; do source=$target; target=$word; done
address=${{target#{USER}@}}
there=$MACHINES/${{address%%:*}}/${{target#*:~/}}
if [ -d "$source" ]; then cp -r "$MACHINES/checkout/." "$there"; else cp "$source" "$there"; fi
"""
LANDLORD = """
import sys
from pathlib import Path
from controlplane.local.authority import NodeCertificates
from controlplane.local.invitation import Invitation
from controlplane.local.paths import Home, write_private
from controlplane.settings import load_settings

settings = load_settings()
home = Home(settings.home)
match sys.argv[1:]:
    case ["up"]:
        NodeCertificates(home.nodes).prepare_head(settings.node_address)
        write_private(home.ray_token, "token of " + settings.node_address)
    case ["node", "join", head, "--invitation", file]:
        invitation = Invitation.read(Path(file))
        assert invitation.address == settings.node_address
        invitation.accept(home)
        (home.root / "joined").write_text(head)
    case others:
        sys.exit(f"landlord {others}")
"""


@dataclass(frozen=True)
class Machines:
    """One directory for each machine, by its address. `endpoint`: where AWS is for the machines, as another one than
    for who runs Ray's launcher."""

    root: Path
    endpoint: str

    def prepare(self) -> None:
        programs, checkout = self.root / "bin", self.root / "checkout"
        commands = checkout / ".venv" / "bin"
        programs.mkdir(parents=True)
        commands.mkdir(parents=True)
        (checkout / "deploy").symlink_to(ROOT / "deploy")
        (self.root / "landlord.py").write_text(LANDLORD)
        python = shlex.quote(sys.executable)
        _program(programs / "ssh", f"set -eu\n{SSH}")
        _program(programs / "rsync", f"set -e\n{RSYNC}")
        # `ray stop` on a machine must not find the Rays of this one.
        for name in ("sudo", "make", "curl", "ray"):
            _program(programs / name, "exit 0")
        # As on Ubuntu, for whatever is not a virtual environment's.
        _program(programs / "pip", "exit 1")
        _program(commands / "python", f'exec {python} "$@"')
        _program(commands / "landlord", f'exec {python} "$MACHINES/landlord.py" "$@"')

    def ray(self, verb: str, config: dict[str, Any], environment: dict[str, str]) -> None:
        file = self.root / "cluster.yaml"
        file.write_text(yaml.safe_dump(config))
        self._run([sys.executable, "-m", "ray.scripts.scripts", verb, str(file), "--yes"], environment)

    def ssh(self, address: str, command: str, environment: dict[str, str]) -> None:
        """As Ray's launcher has a machine run a command."""
        self._run(["ssh", f"{USER}@{address}", "bash", "--login", "-c", shlex.quote(command)], environment)

    def _run(self, words: list[str], environment: dict[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "LANDLORD_"))}
        done = subprocess.run(
            words,
            env={
                **inherited,
                **environment,
                "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
                "HOME": str(self.root),
                "TMPDIR": str(self.root),
                "TERM": "dumb",
                "MACHINES": str(self.root),
                "MACHINES_ENDPOINT": self.endpoint,
            },
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            # Interactive shells would take the terminal.
            start_new_session=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def home(self, address: str) -> Path:
        return self.root / address / "home"


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
