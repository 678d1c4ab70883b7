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
    "docker engine": r"^(dockerd|containerd( |$))",
    "containers' shims and proxies": r"^(containerd-shim|docker-proxy)",
}
"""By the name and the command line; the first that fits."""

SHORT_LIVED = {
    re.compile(pattern): kind
    for pattern, kind in {
        r"ray::Tenant|ray::IDLE": "tenants' actors",
        r"(ip6?tables|modprobe|xtables)": "iptables, of networks and ports",
        r"(runc|exe$|docker-init|docker-runc)": "runc and its helpers",
        r"(containerd-shim|docker-proxy)": "containers' shims and proxies",
        r"dockerd|containerd$": "docker engine",
    }.items()
}
"""Processes that nobody may have looked at, by the name that the kernel has of them."""


def kind_of(process: psutil.Process) -> str:
    """Raises psutil.Error if it has ended."""
    said = " ".join([process.name(), *process.cmdline()])
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, said)), "other")
