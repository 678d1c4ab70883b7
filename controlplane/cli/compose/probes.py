"""`healthcheck` of a compose service, as `health` of a spec."""

from collections.abc import Mapping
from typing import Any

from controlplane.cli.compose.document import as_mapping
from controlplane.cli.compose.errors import ComposeError
from controlplane.cli.compose.leftovers import Leftovers
from controlplane.cli.compose.quantities import seconds, switch, text, whole

TIMEOUT = 30.0
"""Seconds that a check has if it does not say."""
SECONDS: Mapping[str, tuple[float, float]] = {
    "interval": (0.5, 3600.0),
    "timeout": (0.1, 60.0),
    "start_period": (0.0, 3600.0),
}
"""The least and the most that a spec may say."""
MOST_RETRIES = 100


def health(value: Any, left: Leftovers) -> dict[str, Any]:
    value = as_mapping(value, left.key("healthcheck"))
    test = value.get("test")
    if test in ("NONE", ["NONE"]) or switch(value.get("disable", False), left.key("healthcheck.disable")):
        left.add("healthcheck", "cannot be switched off here: give `spec.health` a probe, which counts instead")
        return {}
    found: dict[str, Any] = {}
    if test is not None:
        found["exec"] = {"command": _command(test, left)}
        found["timeout_seconds"] = TIMEOUT
    for name, (least, most) in SECONDS.items():
        if value.get(name) is not None:
            asked = seconds(value[name], left.key(f"healthcheck.{name}"))
            found[f"{name}_seconds"] = kept = min(max(asked, least), most)
            if kept != asked:
                left.add(f"healthcheck.{name}", f"{kept:g} s: {least:g} to {most:g} s are allowed")
    if value.get("retries") is not None:
        retries = whole(value["retries"], left.key("healthcheck.retries"))
        found["unhealthy_threshold"] = kept = min(max(retries, 1), MOST_RETRIES)
        if kept != retries:
            left.add("healthcheck.retries", f"{kept}: 1 to {MOST_RETRIES} are allowed")
    for name in sorted(value.keys() - {"test", "disable", "retries", *SECONDS}):
        left.add(f"healthcheck.{name}", "has no counterpart: while it starts, a tenant is probed often anyway")
    return found


def _command(test: Any, left: Leftovers) -> list[str]:
    if isinstance(test, str):
        return ["/bin/sh", "-c", test]
    words = [text(word) for word in test] if isinstance(test, list) else []
    match words:
        case ["CMD", _, *_]:
            return words[1:]
        case ["CMD-SHELL", line]:
            return ["/bin/sh", "-c", line]
    raise ComposeError(left.key("healthcheck.test"), "must be a text, or a list that begins with CMD or CMD-SHELL")
