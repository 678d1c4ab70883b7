"""`landlord drain`: let this home's cluster come to rest, for an upgrade, a move or a reboot."""

import time
from collections.abc import Callable
from typing import Annotated

import typer

from controlplane.cli.cluster import Cluster
from controlplane.cli.console import output, progress
from controlplane.cli.options import DEFAULT_TIMEOUT, Timeout
from controlplane.errors import DeadlineExceeded
from controlplane.settings import load_settings

POLL_SECONDS = 0.5


def drain(
    undo: Annotated[bool, typer.Option("--undo", help="Go on: end the drain.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return once no tenant has an actor here any more.")] = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Let the cluster of this home come to rest: what is under way ends, nothing new begins, every actor leaves.

    Tenants' compute keeps running, and the API keeps answering: changes are stored, and done by another cluster of
    the same database or after the drain. --undo or the next `landlord up` ends the drain. Acts on the home
    (LANDLORD_HOME), not on LANDLORD_URL.
    """
    cluster = Cluster.of(load_settings())
    if undo:
        ended = cluster.undrain("landlord drain --undo")
        output.print("The drain is over: tenants are taken up again" if ended else "It was not draining")
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
    """Returns once `left` says 0. Raises DeadlineExceeded after `timeout` seconds. The last two are for tests."""
    deadline = clock() + timeout
    while (count := left()) != 0:
        what = "the supervisor has not noticed yet" if count is None else f"{count} tenants are still owned"
        say(f"draining: {what}")
        if clock() > deadline:
            raise DeadlineExceeded(f"after {timeout:g} s {what}; the drain goes on")
        sleep(POLL_SECONDS)
