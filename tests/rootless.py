"""A rootless Docker Engine for the suite: of an account and with files of its own, which nobody else sees."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import connect

START_SECONDS = 60
ENGINE = "/usr/share/docker.io/contrib/dockerd-rootless.sh"
UID, SUBORDINATES = 64123, "400000:65536"

# The account, its subordinate ids and a /dev/net/tun that it may open (udev makes it so, but not each machine has udev)
# are there for the engine alone: in a mount namespace that ends with it.
SCRIPT = f"""
cd "$1"
for file in passwd subuid subgid; do cat /etc/$file > $file 2>/dev/null || : > $file; done
echo "rootless:x:{UID}:{UID}::$1:/bin/sh" >> passwd
echo "rootless:{SUBORDINATES}" >> subuid
echo "rootless:{SUBORDINATES}" >> subgid
touch /etc/subuid /etc/subgid
for file in passwd subuid subgid; do mount --bind "$1/$file" /etc/$file; done
mknod -m 666 tun c 10 200
mount --bind "$1/tun" /dev/net/tun
chown {UID}:{UID} "$1"
exec setpriv --reuid {UID} --regid {UID} --clear-groups env -i HOME="$1" USER=rootless XDG_RUNTIME_DIR="$1" \\
    PATH=/usr/sbin:/usr/bin:/sbin:/bin {ENGINE} --storage-driver vfs
"""


@contextlib.contextmanager
def running_rootless(directory: Path) -> Iterator[str]:
    """The address of a rootless engine in this directory, whose path must be short. It ends at the end."""
    for needed in (ENGINE, shutil.which("rootlesskit"), shutil.which("slirp4netns"), shutil.which("newuidmap")):
        if needed is None or not Path(needed).exists():
            pytest.fail("these tests need a rootless engine: apt-get install docker.io rootlesskit slirp4netns uidmap")
    os.chmod(directory, 0o700)
    os.chmod(directory.parent, 0o711)
    path, output = directory / "docker.sock", directory.parent / f"{directory.name}.log"
    with output.open("wb") as log:
        engine = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-euc", SCRIPT, "sh", directory],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while (client := connect(str(path))) is None:
            if engine.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the rootless engine does not come up:\n{output.read_text()}")
            time.sleep(0.1)
        client.close()
        yield f"unix://{path}"
    finally:
        engine.terminate()
        engine.wait(30)
