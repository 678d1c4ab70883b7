"""The kinds of processes: of an installation, of the Docker Engine that works for it, and of who measures."""

import re

import psutil

KINDS = {
    "this benchmark": r"-m benchmarks",
    "serve controller and proxies": r"ServeController|ProxyActor|HAProxyManager",
    "replicas": r"ServeReplica",
    "supervisor": r"Supervisor",
    "postgres": r"postgres",
    "haproxy": r"haproxy",
    "gcs": r"gcs_server",
    "raylet": r"raylet/raylet",
    "fork servers": r"forkserver",
    "log monitor": r"log_monitor",
    "dashboard and agents": r"dashboard|runtime_env|monitor\.py",
    "client server": r"ray\.util\.client",
    "workers that stand ready": r"ray::IDLE",
    "tenants' actors": r"ray::",
    "docker engine": r"^(dockerd|containerd|docker-proxy|runc)",
}
"""By the name and the command line; the first that fits."""


def kind_of(process: psutil.Process) -> str:
    """Raises psutil.Error if it has ended."""
    said = " ".join([process.name(), *process.cmdline()])
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, said)), "other")
