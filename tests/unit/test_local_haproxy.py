"""What the launcher does to the configuration that Ray writes, and that it becomes HAProxy."""

import json
import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from controlplane.local.haproxy import Front, close_binds, configuration_files, harden, launcher

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
    ray = find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    template = Path(ray.origin).with_name("serve") / "_private" / "haproxy_templates.py"
    text = template.read_text().replace("{{ config.metrics_port }}", "1").replace("{{ config.stats_port }}", "2")
    binds = [line.split()[1] for line in close_binds(text).splitlines() if line.strip().startswith("bind ")]
    assert binds
    assert all(bind.startswith(("127.0.0.1:", "{{")) for bind in binds)


def test_what_no_replica_answers_is_ours_and_not_serves_text() -> None:
    written = "defaults\n    errorfile 502 /run/x/500.http\n    errorfile 503 /run/x/500.http\n"
    assert "    errorfile 502 /run/x/503.http\n    errorfile 503 /run/x/503.http\n" in harden(written, files=9999)


def test_files_are_what_follows_each_f() -> None:
    assert configuration_files(["-db", "-f", "/a", "-dR", "-f", "/b", "-sf", "1"]) == ["/a", "/b"]
    assert configuration_files(["-v"]) == []


def test_the_launcher_closes_the_file_and_becomes_the_program(tmp_path: Path) -> None:
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(WRITTEN_BY_RAY)
    # A path with a space: it is one word for the shell.
    script = tmp_path / "the launcher"
    log, front = tmp_path / "the log", tmp_path / "front.json"
    front.write_text(Front(log=str(log)).write())
    script.write_text(launcher(sys.executable, Path("/bin/sh"), front))
    script.chmod(0o700)

    # The program gets the arguments as they were: here a shell that says its pid, into the log.
    with subprocess.Popen([script, "-c", "echo $$ $1 $2", "-", "-f", str(configuration)]) as process:
        assert process.wait() == 0
    while not (log.exists() and log.read_text().endswith("\n")):
        time.sleep(0.01)

    assert json.loads(log.read_text())["message"].split() == [str(process.pid), "-f", str(configuration)]
    assert configuration.read_text() == harden(WRITTEN_BY_RAY, files=resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def test_a_request_has_ten_seconds_and_side_doors_have_their_own_places() -> None:
    hardened = harden(WRITTEN_BY_RAY.replace("stats timeout 30s", "maxconn 4096"), files=20_000).splitlines()
    assert hardened.count("    maxconn 7600") == 1
    assert "    maxconn 4096" not in hardened
    assert hardened[hardened.index("frontend prometheus") + 1] == "    maxconn 50"
    assert hardened[hardened.index("listen stats") + 1] == "    maxconn 50"
    assert hardened[hardened.index("frontend http_frontend") + 1] == "    maxconn 7400"
    assert not [line for line in hardened if " ssl " in line]


def test_only_the_api_speaks_tls() -> None:
    before = harden(WRITTEN_BY_RAY, files=20_000).splitlines()
    after = harden(WRITTEN_BY_RAY, files=20_000, front=Front(certificate="/h/tls.pem")).splitlines()
    changed = [line for line in after if line not in before]
    assert changed == ['    bind 127.0.0.1:8000 ssl crt "/h/tls.pem" ssl-min-ver TLSv1.2']


def test_other_machines_reach_the_api_on_the_nodes_address_and_no_replica() -> None:
    there = "    server two 10.0.0.2:30000 check"
    front = Front(address="10.0.0.1", address_certificate="/h/node.pem")
    before = harden(WRITTEN_BY_RAY, files=20_000).splitlines()
    configuration = WRITTEN_BY_RAY.replace("listen stats", f"{there}\nlisten stats")
    after = harden(configuration, files=20_000, front=front).splitlines()
    assert [line for line in after if line not in before] == [
        '    bind 10.0.0.1:8000 ssl crt "/h/node.pem" ssl-min-ver TLSv1.2'
    ]
    assert "    server one 127.0.0.1:30000 check" in after
    assert "    bind 127.0.0.1:8000" in after


def test_hardening_twice_changes_nothing_more() -> None:
    once = harden(WRITTEN_BY_RAY, files=20_000)
    assert harden(once, files=20_000) == once
