"""The facts that the log adds to a request: its caller, and the reason of a refusal. Never a secret."""

from typing import Any

from starlette.types import Scope

_STATE = "access"


def noted(scope: Scope) -> dict[str, Any]:
    """The notes on this request so far: names of fields and their values."""
    found: dict[str, Any] = scope.setdefault("state", {}).setdefault(_STATE, {})
    return found


def note(scope: Scope, **fields: Any) -> None:
    """Note fields for the request's line. `refused`: the first reason stays, since it is the most exact. `quiet`: no
    line."""
    known = noted(scope)
    known.update({name: value for name, value in fields.items() if not (name == "refused" and name in known)})
