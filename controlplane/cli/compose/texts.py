"""Keys of a compose service that have no place in a spec, and what to do instead."""

from collections.abc import Mapping

_OTHERS = (
    "make each of them a tenant that publishes a port on an address of LANDLORD_DOCKER_PUBLISH, and pass that in `env`"
)
_RIGHTS = "no tenant may have it"
_FILES = 'write the value to $LANDLORD_HOME/secrets/TENANT/NAME and refer to it in `env`: {"secret": "file:NAME"}'

INSTEAD: Mapping[str, str] = {
    "annotations": "use `labels`",
    "attach": "`landlord tenant logs NAME` shows its output",
    "blkio_config": "has no counterpart",
    "build": "build the image, push it to a registry, and name it: --set spec.compute.config.image=IMAGE",
    "cap_add": _RIGHTS,
    "cap_drop": "NET_RAW is dropped always; the others stay as Docker Engine gives them",
    "cgroup": _RIGHTS,
    "cgroup_parent": _RIGHTS,
    "configs": "have them in the image or in a volume; a secret one as a reference in `env`",
    "container_name": "containers are named landlord-TENANT-…, and nobody reaches one by its name",
    "cpu_count": "use `cpus`",
    "cpu_percent": "use `cpus`",
    "cpu_period": "use `cpus`",
    "cpu_quota": "use `cpus`",
    "cpu_rt_period": _RIGHTS,
    "cpu_rt_runtime": _RIGHTS,
    "cpu_shares": "use `cpus`, which is a limit",
    "cpuset": "use `cpus`, which is a limit",
    "credential_spec": "has no counterpart",
    "depends_on": f"{_OTHERS}; a start waits for nobody",
    "develop": "is for `docker compose watch`",
    "device_cgroup_rules": _RIGHTS,
    "devices": f"{_RIGHTS}; for GPUs there is `gpus`",
    "dns_opt": "has no counterpart",
    "dns_search": "write names in full",
    "domainname": "write it into `hostname`",
    "expose": "put it into `ports` if it is to be reached or probed",
    "external_links": _OTHERS,
    "ipc": _RIGHTS,
    "isolation": "has no counterpart",
    "label_file": "use `labels`",
    "links": _OTHERS,
    "mac_address": "has no counterpart",
    "mem_reservation": "use `mem_limit`, which is a limit",
    "mem_swappiness": "there is no swap beyond the memory limit",
    "memswap_limit": "there is no swap beyond the memory limit",
    "models": "pass address and name in `env`",
    "networks": "a tenant has a network of its own; others reach the ports that it publishes",
    "oom_kill_disable": _RIGHTS,
    "oom_score_adj": _RIGHTS,
    "pid": _RIGHTS,
    "platform": "push an image for the machine's own architecture",
    "post_start": "do it in the image's entrypoint",
    "pre_stop": "handle the stop signal in the program",
    "privileged": "takes LANDLORD_DOCKER_ALLOW_HOST_ACCESS and an admin: --set spec.compute.config.privileged=true",
    "provider": "has no counterpart",
    "pull_refresh_after": "use `pull_policy`, or `landlord tenant redeploy NAME`",
    "runtime": "has no counterpart",
    "scale": "a tenant has one container; make more tenants",
    "secrets": _FILES,
    "security_opt": "no-new-privileges holds always; others cannot be given",
    "stdin_open": "nobody is at its standard input",
    "storage_opt": "has no counterpart",
    "sysctls": "set them on the machine",
    "tty": "there is no terminal",
    "use_api_socket": _RIGHTS,
    "userns_mode": _RIGHTS,
    "uts": _RIGHTS,
    "volumes_from": "name the volumes in `volumes`; no tenant shares another's",
}
DEPLOY: Mapping[str, str] = {
    "endpoint_mode": "has no counterpart",
    "labels": "use `labels`",
    "mode": "a tenant has one container; make more tenants",
    "placement": "has no counterpart",
    "replicas": "a tenant has one container; make more tenants",
    "rollback_config": "a version that does not become healthy never replaces one that works",
    "update_config": "the new version starts first, and the old one goes once it is healthy",
}
SILENT = frozenset({"profiles", "extends"})
"""They decide which services there are."""
