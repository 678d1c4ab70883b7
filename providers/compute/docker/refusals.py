"""The meaning of Docker Engine's refusals. Most of them differ only in their English text; the texts are those of 20.10
to 28.

Docker Engine's own words decide. If they are shown, `hidden` (the tenant's environment) is left out.
"""

import re
from collections.abc import Iterable, Sequence

from controlplane.errors import InvalidConfig, LandlordError, NotAvailableYet, Retryable, Unavailable, WaitsFor
from providers.kit.redaction import redact

PORT_TAKEN = re.compile(
    r"(?:Bind for|listen (?:tcp|udp)\d?|bind host port for|bind host port) "
    r"(?P<host>[\d.]+|\[[^\]]*\]|[\da-fA-F:]+):(?P<port>\d+).*?(?:already allocated|already in use)",
    re.DOTALL,
)
PORT_FORBIDDEN = re.compile(
    r"(?:privileged port|listen (?:tcp|udp)\d?|bind host port for|bind host port) "
    r"(?:(?P<host>[\d.]+|\[[^\]]*\]|[\da-fA-F:]+):)?(?P<port>\d+).*?permission denied",
    re.DOTALL,
)
"""A rootless engine opens no port below 1024, unless its machine lets it."""
NETWORK_MISSING = re.compile(r"network (\S+) not found")
POOL_EXHAUSTED = re.compile(
    r"non-overlapping IPv\d address pool|pools? (?:have|has) been fully subnetted"
    r"|no available IPv\d addresses on|no available addresses",
    re.IGNORECASE,
)
REGISTRY_AWAY = re.compile(
    r"connection refused|connection reset|timeout|timed out|no end after|sent nothing more|EOF|toomanyrequests"
    r"|too many requests"
    r"|(?:received unexpected HTTP|response) status:? ?(?:code )?5\d\d|HTTP (?:429|5\d\d)\b|service unavailable"
    r"|bad gateway|internal server error",
    re.IGNORECASE,
)
"""The registry was found and does not answer, or not now. Not found, or of an unknown host: then there is no such
image. Many registries say so too of an image that they do not show to us."""
REGISTRY_REFUSES = re.compile(
    r"unauthorized|no basic auth credentials|authentication required|denied|forbidden"
    r"|status:? ?(?:code )?40[13]|HTTP 40[13]\b",
    re.IGNORECASE,
)
"""The registry was asked, and shows the image not to us."""
AWAY = re.compile(
    r"connection refused|connection reset|connection error|transport is closing|context deadline exceeded"
    r"|context canceled|i/o timeout|timed out|shutting down|daemon is not running|no space left"
    r"|cannot allocate memory|too many open files|resource temporarily unavailable",
    re.IGNORECASE,
)
"""Docker Engine, or the machine below it, cannot do this now, whatever the container."""
NO_GPU = "could not select device driver"
CANNOT_RUN = re.compile(
    r'(?:^|container process(?: caused)?:? "?(?:error during container init: )?)(?:exec|chdir)\b(?!: .docker-).*'
    r"(?:not found|no such file or directory|permission denied|exec format error|is a directory|not a directory)"
    r"|unable to find (?:user|group)|attempted to invoke a command that was not found",
    re.IGNORECASE | re.DOTALL,
)
"""The container's own program. The same words about a file of the engine's (`docker-proxy`, a shim) say nothing of
the tenant."""
OF_THE_ENGINE = re.compile(
    r"failed programming external connectivity|userland proxy|docker-(?:proxy|init)|containerd|start shim|fork/exec"
    r"|unable to retrieve OCI runtime error|unable to apply cgroup",
    re.IGNORECASE,
)
"""Parts of the engine, or of the machine below it, which somebody mends there."""


def refused_image(
    image: str,
    policy: str,
    explanation: str,
    status: int | None = None,
    *,
    login: str = "",
    hidden: Iterable[str] = (),
) -> NotAvailableYet:
    """The image is not here, and pulling it was not allowed or did not work: registries lag behind, and may be away.
    `status`: Docker Engine's own code, None if it gave none. `login`: with which login it was pulled, `none: …` if
    there should have been one, empty if there was none."""
    shown = redact(explanation, hidden)
    away = REGISTRY_AWAY.search(explanation) is not None
    refuses = not away and REGISTRY_REFUSES.search(explanation) is not None
    if policy == "never" or status == 404 or "lookup " in explanation or "does not exist" in explanation:
        waits_for = WaitsFor.IMAGE_NOT_FOUND
    elif away:
        waits_for = WaitsFor.PLATFORM_UNAVAILABLE
    else:
        waits_for = WaitsFor.ACCESS_REFUSED if refuses else WaitsFor.IMAGE_NOT_FOUND
    if refuses:
        shown += f" (login: {login or 'none; a private image needs registry_auth'})"
    match policy:
        case "never":
            text = f"image {image} is not on this machine, and the pull policy is never"
        case "always":
            text = f"image {image} cannot be pulled, and the pull policy is always: {shown}"
        case _:
            text = f"image {image} is not on this machine and cannot be pulled: {shown}"
    return NotAvailableYet(text, waits_for=waits_for, image=image, code=status)


def refused(status: int, explanation: str) -> LandlordError:
    """A refusal that is not about one container. Docker Engine's own failures (5xx) say nothing about the tenant."""
    text = f"Docker Engine refused: {explanation}"
    outside = _outside(text, status, explanation)
    if outside is not None:
        return outside
    return Unavailable(text, code=status) if status >= 500 else Retryable(text, code=status)


def _outside(text: str, status: int, explanation: str) -> LandlordError | None:
    """The error if the reason is outside the tenant's own spec."""
    if POOL_EXHAUSTED.search(explanation):
        return NotAvailableYet(text, waits_for=WaitsFor.NETWORK_POOL_EXHAUSTED, code=status)
    if status >= 500 and AWAY.search(explanation):
        return Unavailable(text, code=status)
    return None


def refused_creation(image: str, status: int, explanation: str, hidden: Iterable[str] = ()) -> LandlordError:
    """A failed create: 400 can never work, 404 lacks the image, anything else may work later."""
    shown = redact(explanation, hidden)
    if status == 400:
        return InvalidConfig(f"Docker Engine refuses a container of image {image}: {shown}", code=status)
    if status == 404 and "image" in explanation.lower():
        return NotAvailableYet(
            f"image {image} went away: {shown}", waits_for=WaitsFor.IMAGE_NOT_FOUND, image=image, code=status
        )
    text = f"a container of image {image} could not be created: {shown}"
    return _outside(text, status, explanation) or Retryable(text, code=status)


def refused_start(
    image: str, command: Sequence[str], status: int, explanation: str, hidden: Iterable[str] = ()
) -> LandlordError:
    """A failed start. Ports and networks may become free; a command that the image does not have never works."""
    shown = redact(explanation, hidden)
    taken = PORT_TAKEN.search(explanation)
    if taken is not None:
        return NotAvailableYet(
            f"port {taken['port']} on {taken['host']} is already in use",
            waits_for=WaitsFor.PORT_TAKEN,
            port=int(taken["port"]),
            code=status,
        )
    if NO_GPU in explanation:
        return InvalidConfig(
            f"Docker Engine gives containers no GPU here: {shown}; install the NVIDIA Container Toolkit where it runs, "
            "or leave gpus out",
            code=status,
        )
    network = NETWORK_MISSING.search(explanation)
    if network is not None:
        return NotAvailableYet(f"network {network[1]} does not exist", network=network[1], code=status)
    if CANNOT_RUN.search(explanation):
        name = command[0] if command else "(none)"
        return InvalidConfig(f"the command {name!r} cannot run in image {image}: {shown}", code=status)
    text = f"a container of image {image} could not be started: {shown}"
    forbidden = PORT_FORBIDDEN.search(explanation)
    if forbidden is not None:
        text = f"the Docker Engine may not open port {forbidden['port']} of its machine: {shown}"
        return Unavailable(text, port=int(forbidden["port"]), code=status)
    if OF_THE_ENGINE.search(explanation):
        return Unavailable(text, code=status)
    return _outside(text, status, explanation) or Retryable(text, code=status)
