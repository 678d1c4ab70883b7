"""A command in a container, beside its own."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from providers.compute.docker import entries
from providers.kit.commands import Running


def run(api: Any, container: str, command: Sequence[str], running: Running) -> int | None:
    """Its exit code; None: it has not ended. Blocks until it ends, is silent for as long as one request may take, or
    `running` has enough. The SDK's own `exec_start` has no time-out."""
    made = api.exec_create(container, list(command), stdout=True, stderr=True)
    url = api._url("/exec/{0}/start", made["Id"])
    with closing(api._post_json(url, data={"Detach": False, "Tty": False}, stream=True)) as answer:
        api._raise_for_status(answer)
        running.take(entries.frames(answer.raw))
    code = api.exec_inspect(made["Id"])["ExitCode"]
    return None if code is None else int(code)
