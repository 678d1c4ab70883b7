"""An ETag is the tenant's `version`, quoted. It counts changes by clients, so a probe never defeats an If-Match."""

from controlplane.errors import Refused
from controlplane.model import Tenant


def etag(tenant: Tenant) -> str:
    return f'"{tenant.version}"'


def require_match(if_match: str | None, tenant: Tenant) -> None:
    """Raises Refused version_mismatch (412) if `If-Match` was sent and names another version.

    Comparison is strong, as RFC 9110 asks: a weak tag never matches."""
    if if_match is None:
        return
    offered = {tag.strip() for tag in if_match.split(",")}
    if "*" in offered or etag(tenant) in offered:
        return
    raise Refused(
        f"tenant {tenant.name!r} is at version {tenant.version}, and If-Match names another; read the tenant again",
        code="version_mismatch",
        status=412,
        headers={"ETag": etag(tenant)},
    )
