"""What the log says of a request beside the request itself: who asked, and why it was refused. Never a secret."""

from typing import Any

from starlette.types import Scope

_STATE = "access"


def noted(scope: Scope) -> dict[str, Any]:
    """What was noted of this request so far: names of fields and their values."""
    found: dict[str, Any] = scope.setdefault("state", {}).setdefault(_STATE, {})
    return found


def note(scope: Scope, **fields: Any) -> None:
    """For the request's line. `refused`: the first reason stays, for it is the most exact. `quiet`: no line."""
    known = noted(scope)
    known.update({name: value for name, value in fields.items() if not (name == "refused" and name in known)})
