"""How many requests one replica has answered: by route, method and class of status, each of a bounded set."""

from collections import Counter
from collections.abc import Mapping

from starlette.types import Scope

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
NO_ROUTE = "none"
"""For all paths that no route has: clients choose them."""
OTHER = "other"


class RequestCounts:
    """Counts since this process began."""

    def __init__(self) -> None:
        self._counted: Counter[tuple[str, str, str]] = Counter()

    def count(self, scope: Scope, status: int) -> None:
        """`scope`: after the application has run, so it has its route. `status`: 0 for a client that left before an
        answer began."""
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self._counted[template(scope), method, f"{status // 100}xx" if status else "aborted"] += 1

    def read(self) -> Mapping[tuple[str, str, str], int]:
        """By template of the route (`/v1/tenants/{name}`), method and class (`2xx`)."""
        return dict(self._counted)


def template(scope: Scope) -> str:
    """The route that was found, as it is written: `/v1/tenants/{name}`."""
    return str(getattr(scope.get("route"), "path", NO_ROUTE))
