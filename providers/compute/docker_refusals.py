"""What the engine's refusals mean. Docker tells most of them apart by their English only; texts as of 20.10 to 28."""

import re
from collections.abc import Sequence

from controlplane.errors import InvalidConfig, LandlordError, NotAvailableYet, Retryable

PORT_TAKEN = re.compile(
    r"(?:Bind for|listen (?:tcp|udp)\d?|bind host port for|bind host port) "
    r"(?P<host>[\d.]+|\[[^\]]*\]):(?P<port>\d+).*?(?:already allocated|already in use)",
    re.DOTALL,
)
NETWORK_MISSING = re.compile(r"network (\S+) not found")
CANNOT_RUN = ("executable file not found", "no such file or directory", "permission denied", "exec format error")


def refused_image(image: str, policy: str, explanation: str) -> NotAvailableYet:
    """The image is not here, and pulling it was not allowed or did not work: registries lag behind."""
    match policy:
        case "never":
            text = f"image {image} is not on this machine, and the pull policy is never"
        case "always":
            text = f"image {image} cannot be pulled, and the pull policy is always: {explanation}"
        case _:
            text = f"image {image} is not on this machine and cannot be pulled: {explanation}"
    return NotAvailableYet(text, image=image)


def refused_creation(image: str, status: int, explanation: str) -> LandlordError:
    """A create that failed: 400 can never work, 404 lacks the image, anything else may work later."""
    if status == 400:
        return InvalidConfig(f"Docker Engine refuses a container of image {image}: {explanation}", code=status)
    if status == 404 and "image" in explanation.lower():
        return NotAvailableYet(f"image {image} went away: {explanation}", image=image, code=status)
    return Retryable(f"a container of image {image} could not be created: {explanation}", code=status)


def refused_start(image: str, command: Sequence[str], status: int, explanation: str) -> LandlordError:
    """A start that failed. Ports and networks may come free; a command that the image does not have never works."""
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
        return InvalidConfig(f"the command {name!r} cannot run in image {image}: {explanation}", code=status)
    return Retryable(f"a container of image {image} could not be started: {explanation}", code=status)
