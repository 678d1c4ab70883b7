"""Has the other machines of `ray up` join the cluster of this head, and repairs those that did.

    python deploy/workers.py ~/ray_bootstrap_config.yaml

`ray up` runs it on the head, and leaves that file and the ssh key there. First it has Ray's provider launch what a kind
of machine lacks of its `min_workers`; over ssh those are the machines in `worker_ips`. For each machine, all at once,
it makes an invitation for its address. Then Ray's own updater copies `file_mounts` and the invitation, and runs the
setup commands and `worker_start_ray_commands`, with RAY_HEAD_IP set. Ray's autoscaler would do that too, but goes on
with it. A machine that an operator has leave the cluster, for maintenance or an upgrade, would be made to join again.

It ends with 1 if one of them cannot be launched, before any joins, or if one did not join, for which the others are not
held up.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler._private.updater import NodeUpdaterThread
from ray.autoscaler._private.util import with_head_node_ip
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import (
    NODE_KIND_WORKER,
    STATUS_UNINITIALIZED,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

from controlplane.errors import SettingsError
from controlplane.local.invitation import Invitation
from controlplane.local.paths import Home, write_private
from controlplane.settings import Settings, load_settings

INVITATION = "~/landlord-invitation"
"""There, on each of those machines."""
LISTED_SECONDS = 60
"""Until the provider lists a machine that it has launched: EC2 may take some seconds."""


def main(file: str) -> None:
    settings = load_settings()
    config = json.loads(Path(file).read_text())
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    workers = launch(config, provider)
    with tempfile.TemporaryDirectory() as directory:
        invitations = {worker: Path(directory) / worker for worker in workers}
        for worker, invitation in invitations.items():
            write_private(invitation, invite(settings, provider.internal_ip(worker)))
        failed = join(config, provider, settings.node_address, invitations)
    if failed:
        sys.exit(f"deploy/workers.py: these have not joined: {', '.join(failed)}")


def launch(config: Mapping[str, Any], provider: Any, sleep: Callable[[float], None] = time.sleep) -> Sequence[str]:
    """Returns all workers."""
    kinds = config["available_node_types"]
    workers = {TAG_RAY_NODE_KIND: NODE_KIND_WORKER}

    def lacking(name: str) -> int:
        there = provider.non_terminated_nodes({**workers, TAG_RAY_USER_NODE_TYPE: name})
        wanted: int = kinds[name]["min_workers"]
        return max(0, wanted - len(there))

    for name, kind in kinds.items():
        tags = {
            **workers,
            TAG_RAY_USER_NODE_TYPE: name,
            TAG_RAY_NODE_NAME: f"ray-{config['cluster_name']}-worker",
            TAG_RAY_NODE_STATUS: STATUS_UNINITIALIZED,
        }
        # One by one: of several, Ray's provider is content with the first.
        for _ in range(lacking(name)):
            try:
                provider.create_node(kind["node_config"], tags, 1)
            except NodeLaunchException as error:
                sys.exit(f"deploy/workers.py: no {name} can be launched: {error.description}")
    for _ in range(LISTED_SECONDS):
        if not sum(map(lacking, kinds)):
            found: Sequence[str] = provider.non_terminated_nodes(workers)
            return found
        sleep(1)
    sys.exit("deploy/workers.py: what was launched is not listed")


def invite(settings: Settings, address: str) -> str:
    try:
        return Invitation.make(Home(settings.home), address, tls=settings.node_tls).write()
    except SettingsError as error:
        sys.exit(f"deploy/workers.py: {error}")


def join(config: Mapping[str, Any], provider: Any, head: str, invitations: Mapping[str, Path]) -> Sequence[str]:
    """Returns those that did not."""

    def commands(name: str) -> Any:
        return with_head_node_ip(config[name], head)  # type: ignore[no-untyped-call]

    updaters = {
        worker: NodeUpdaterThread(  # type: ignore[no-untyped-call]
            node_id=worker,
            provider_config=config["provider"],
            provider=provider,
            auth_config=config["auth"],
            cluster_name=config["cluster_name"],
            file_mounts={**config["file_mounts"], INVITATION: str(invitation)},
            initialization_commands=commands("initialization_commands"),
            setup_commands=commands("worker_setup_commands"),
            ray_start_commands=commands("worker_start_ray_commands"),
            # Of each run another one: what is there already, the commands themselves leave as it is.
            runtime_hash=uuid4().hex,
            file_mounts_contents_hash="",
            is_head_node=False,
            rsync_options={name: config.get(name) for name in ("rsync_exclude", "rsync_filter")},
            use_internal_ip=True,
        )
        for worker, invitation in invitations.items()
    }
    for updater in updaters.values():
        updater.start()
    for updater in updaters.values():
        updater.join()
    return [worker for worker, updater in updaters.items() if updater.exitcode != 0]


if __name__ == "__main__":
    main(sys.argv[1])
