"""Has the machines in `worker_ips` of cluster.yaml join the cluster of this head, or repairs those that did.

    python deploy/ssh/workers.py ~/ray_bootstrap_config.yaml

`ray up` runs it on the head, and leaves that file and the ssh key there. For each machine, all at once, it makes an
invitation for its address. Then Ray's own updater copies `file_mounts` and the invitation, and runs the setup commands
and `worker_start_ray_commands`, with RAY_HEAD_IP set. Ray's autoscaler would do that too, but goes on with it. A
machine that an operator has leave the cluster, for maintenance or an upgrade, would be made to join again.

It ends with 1 if one of them did not join. The others are not held up.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler._private.updater import NodeUpdaterThread
from ray.autoscaler._private.util import with_head_node_ip
from ray.autoscaler.tags import NODE_KIND_WORKER, TAG_RAY_NODE_KIND

from controlplane.errors import SettingsError
from controlplane.local.invitation import Invitation
from controlplane.local.paths import Home, write_private
from controlplane.settings import load_settings

INVITATION = "~/landlord-invitation"
"""There, on each of those machines."""


def main(file: str) -> None:
    config = json.loads(Path(file).read_text())
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    workers = config["provider"]["worker_ips"]
    if workers:
        provider.create_node({}, {TAG_RAY_NODE_KIND: NODE_KIND_WORKER}, len(workers))
    with tempfile.TemporaryDirectory() as directory:
        invitations = {worker: Path(directory) / worker for worker in workers}
        for worker, invitation in invitations.items():
            write_private(invitation, invite(provider.internal_ip(worker)))
        failed = join(config, provider, invitations)
    if failed:
        sys.exit(f"deploy/ssh/workers.py: these have not joined: {', '.join(failed)}")


def invite(address: str) -> str:
    settings = load_settings()
    try:
        return Invitation.make(Home(settings.home), address, tls=settings.node_tls).write()
    except SettingsError as error:
        sys.exit(f"deploy/ssh/workers.py: {error}")


def join(config: Mapping[str, Any], provider: Any, invitations: Mapping[str, Path]) -> Sequence[str]:
    """Returns those that did not."""
    head = provider.internal_ip(config["provider"]["head_ip"])

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
