"""`landlord drain`: bring this home's cluster to rest, for an upgrade, a move or a reboot."""

import time
from collections.abc import Callable
from typing import Annotated

import typer

from controlplane.cli.cluster import Cluster
from controlplane.cli.console import output, progress
from controlplane.cli.options import DEFAULT_TIMEOUT, POLL_SECONDS, Timeout
from controlplane.errors import DeadlineExceeded
from controlplane.settings import load_settings


def drain(
    undo: Annotated[bool, typer.Option("--undo", help="End the drain and continue.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return once no tenant has an actor here.")] = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Bring this home's cluster to rest: running work ends, nothing new begins, every actor leaves.

    Tenants' compute keeps running. The API keeps answering and stores changes; another cluster of the same database
    carries them out, or this one after the drain. --undo or the next `landlord up` ends the drain. This command acts
    on the home (LANDLORD_HOME), not on LANDLORD_URL.

    Example: landlord drain --wait --timeout 300
    """
    cluster = Cluster.of(load_settings())
    if undo:
        ended = cluster.undrain("landlord drain --undo")
        output.print("The drain is over: tenants are activated again" if ended else "The cluster was not draining")
        return
    since = cluster.drain()
    if wait:
        with progress("draining") as shown:
            await_rest(lambda: cluster.left(since), shown.say, timeout)
        output.print("Drained: no tenant has an actor here. `landlord drain --undo` or `landlord up` ends that")
    else:
        output.print("Draining: nothing new begins. `landlord drain --undo` or `landlord up` ends that")


def await_rest(
    left: Callable[[], int | None],
    say: Callable[[str], None],
    timeout: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Returns once `left` is 0. Raises DeadlineExceeded after `timeout` seconds. Tests inject the last two."""
    deadline = clock() + timeout
    while (count := left()) != 0:
        what = "the supervisor has not noticed yet" if count is None else f"{count} tenants are still owned"
        say(f"draining: {what}")
        if clock() > deadline:
            raise DeadlineExceeded(f"after {timeout:g} s {what}; the drain goes on")
        sleep(POLL_SECONDS)
