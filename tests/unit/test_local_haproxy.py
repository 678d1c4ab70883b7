"""What the launcher does to the configuration that Ray writes, and that it becomes HAProxy."""

import subprocess
import sys
from pathlib import Path

from controlplane.local.haproxy import close_binds, configuration_files, launcher

WRITTEN_BY_RAY = """global
    stats socket /run/x/admin.sock mode 666 level admin expose-fd listeners
    stats timeout 30s
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8000
frontend other
    bind *:8001
backend app
    server one 127.0.0.1:30000 check
listen stats
  bind *:8404
  bind 0.0.0.0:8405
  stats enable
"""


def test_every_listener_is_on_loopback_and_the_socket_its_owners() -> None:
    assert close_binds(WRITTEN_BY_RAY) == (
        WRITTEN_BY_RAY.replace("mode 666", "mode 600")
        .replace("bind :9101", "bind 127.0.0.1:9101")
        .replace("bind *:", "bind 127.0.0.1:")
        .replace("bind 0.0.0.0:", "bind 127.0.0.1:")
    )


def test_closing_twice_changes_nothing_more() -> None:
    assert close_binds(close_binds(WRITTEN_BY_RAY)) == close_binds(WRITTEN_BY_RAY)


def test_the_template_of_this_ray_has_no_listener_that_we_miss() -> None:
    """Ray's own template, read as text: whatever it binds ends on loopback or on the host that Serve was given."""
    template = Path(sys.prefix).glob("lib/python3*/site-packages/ray/serve/_private/haproxy_templates.py")
    text = next(template).read_text().replace("{{ config.metrics_port }}", "1").replace("{{ config.stats_port }}", "2")
    binds = [line.split()[1] for line in close_binds(text).splitlines() if line.strip().startswith("bind ")]
    assert binds
    assert all(bind.startswith(("127.0.0.1:", "{{")) for bind in binds)


def test_files_are_what_follows_each_f() -> None:
    assert configuration_files(["-db", "-f", "/a", "-dR", "-f", "/b", "-sf", "1"]) == ["/a", "/b"]
    assert configuration_files(["-v"]) == []


def test_the_launcher_closes_the_file_and_becomes_the_program(tmp_path: Path) -> None:
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(WRITTEN_BY_RAY)
    # A path with a space: it is one word for the shell.
    script = tmp_path / "the launcher"
    script.write_text(launcher(sys.executable, Path("/bin/sh")))
    script.chmod(0o700)

    # The program gets the arguments as they were: here a shell that says its pid.
    with subprocess.Popen(
        [script, "-c", "echo $$ $1 $2", "-", "-f", str(configuration)], stdout=subprocess.PIPE, text=True
    ) as process:
        said, _ = process.communicate()

    assert said.split() == [str(process.pid), "-f", str(configuration)]
    assert configuration.read_text() == close_binds(WRITTEN_BY_RAY)
