"""Ray's own command line, with another program instead of the interpreter for the processes that it starts, and with
what opens Redis only where it is needed.

`python -m actors.ray_start <launcher> start --head …`. The raylet starts each worker with the value of `sys.executable`
here (`ray._private.services.start_raylet`), and there is no setting for it. Ray would show Redis' password to everybody
on the machine, on the command lines of its store, of the raylet and of each worker. Only the store needs it, and takes
it from its environment as well.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

import ray._private.node
import ray._private.services
from ray._private.ray_constants import PROCESS_TYPE_GCS_SERVER
from ray.scripts.scripts import main

CREDENTIALS = {
    "redis_username": "LANDLORD_INTERNAL_REDIS_USERNAME",
    "redis_password": "LANDLORD_INTERNAL_REDIS_PASSWORD",
}
"""Option of Ray's store → the variable in which `landlord up` hands it over."""


def hide_credentials(given: Mapping[str, str]) -> None:
    """`given`: by option. Ray is told nothing of them; this module hands them to its store, and uses them itself."""
    node: Any = ray._private.node
    services: Any = ray._private.services
    find, start = node.get_session_key_from_storage, services.start_ray_process

    def find_session(host: str, port: int, _: str, __: str, *others: Any) -> Any:
        return find(host, port, given.get("redis_username", ""), given.get("redis_password", ""), *others)

    def start_process(command: list[str], process_type: str, **options: Any) -> Any:
        if process_type == PROCESS_TYPE_GCS_SERVER:
            command = [*command, f"--fromenv={','.join(given)}"]
            options["env_updates"] = {f"FLAGS_{option}": value for option, value in given.items()}
        return start(command, process_type, **options)

    node.get_session_key_from_storage = find_session
    services.start_ray_process = start_process


if __name__ == "__main__":
    sys.executable = sys.argv.pop(1)
    found = {option: os.environ.pop(name) for option, name in CREDENTIALS.items() if name in os.environ}
    if found:
        hide_credentials(found)
    sys.exit(main())  # type: ignore[no-untyped-call]
