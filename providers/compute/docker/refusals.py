"""The meaning of Docker Engine's refusals. Most of them differ only in their English text; the texts are those of 20.10
to 28.

Docker Engine's own words decide. If they are shown, `hidden` (the tenant's environment) is left out.
"""

import re
from collections.abc import Iterable, Sequence

from controlplane.errors import InvalidConfig, LandlordError, NotAvailableYet, Retryable
from providers.kit.redaction import redact

PORT_TAKEN = re.compile(
    r"(?:Bind for|listen (?:tcp|udp)\d?|bind host port for|bind host port) "
    r"(?P<host>[\d.]+|\[[^\]]*\]):(?P<port>\d+).*?(?:already allocated|already in use)",
    re.DOTALL,
)
NETWORK_MISSING = re.compile(r"network (\S+) not found")
CANNOT_RUN = ("executable file not found", "no such file or directory", "permission denied", "exec format error")


def refused_image(image: str, policy: str, explanation: str, status: int | None = None) -> NotAvailableYet:
    """The image is not here, and pulling it was not allowed or did not work: registries lag behind. `status`: Docker
    Engine's own code, None if it gave none."""
    match policy:
        case "never":
            text = f"image {image} is not on this machine, and the pull policy is never"
        case "always":
            text = f"image {image} cannot be pulled, and the pull policy is always: {explanation}"
        case _:
            text = f"image {image} is not on this machine and cannot be pulled: {explanation}"
    return NotAvailableYet(text, image=image, code=status)


def refused_creation(image: str, status: int, explanation: str, hidden: Iterable[str] = ()) -> LandlordError:
    """A failed create: 400 can never work, 404 lacks the image, anything else may work later."""
    shown = redact(explanation, hidden)
    if status == 400:
        return InvalidConfig(f"Docker Engine refuses a container of image {image}: {shown}", code=status)
    if status == 404 and "image" in explanation.lower():
        return NotAvailableYet(f"image {image} went away: {shown}", image=image, code=status)
    return Retryable(f"a container of image {image} could not be created: {shown}", code=status)


def refused_start(
    image: str, command: Sequence[str], status: int, explanation: str, hidden: Iterable[str] = ()
) -> LandlordError:
    """A failed start. Ports and networks may become free; a command that the image does not have never works."""
    shown = redact(explanation, hidden)
    taken = PORT_TAKEN.search(explanation)
    if taken is not None:
        return NotAvailableYet(
            f"port {taken['port']} on {taken['host']} is already in use", port=int(taken["port"]), code=status
        )
    network = NETWORK_MISSING.search(explanation)
    if network is not None:
        return NotAvailableYet(f"network {network[1]} does not exist", network=network[1], code=status)
    if any(words in explanation for words in CANNOT_RUN):
        name = command[0] if command else "(none)"
        return InvalidConfig(f"the command {name!r} cannot run in image {image}: {shown}", code=status)
    return Retryable(f"a container of image {image} could not be started: {shown}", code=status)
