"""Names of images, as Docker reads them: https://github.com/distribution/reference.

[registry[:port]/]path[/path…][:tag][@digest]
"""

import re
from dataclasses import dataclass
from typing import Self

DEFAULT_REGISTRY = "docker.io"
LONGEST_NAME = 255

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,128}")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`registry`: host and port, `docker.io` if the name has none. `path`: the repository there, `library/…` for an
    official one."""

    registry: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with a message for the client."""
        if _ID.fullmatch(text):
            raise ValueError("is the id of an image; name an image by its repository, with a tag or a digest")
        rest, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise ValueError(f"{text!r} is not the name of an image: a digest is sha256:… with 64 hexadecimal digits")
        # A colon before the last slash belongs to the registry's port.
        name, colon, tag = rest.rpartition(":") if ":" in rest.rpartition("/")[2] else (rest, "", "")
        if colon and not _TAG.fullmatch(tag):
            raise ValueError(f"{text!r} is not the name of an image: {tag!r} is not a tag")
        registry, path = _split(name)
        if not _REGISTRY.fullmatch(registry):
            raise ValueError(f"{text!r} is not the name of an image: {registry!r} is not a registry")
        if not _PATH.fullmatch(path):
            lower = "; the path of an image is in lower case" if path != path.lower() else ""
            raise ValueError(f"{text!r} is not the name of an image{lower}")
        if len(registry) + 1 + len(path) > LONGEST_NAME:
            raise ValueError(f"the name of an image has at most {LONGEST_NAME} characters, without tag and digest")
        return cls(registry, path, tag or None, digest or None)

    def among(self, allowed: str) -> bool:
        """`allowed`: a registry (`ghcr.io`), or a registry and the beginning of a path (`ghcr.io/acme`)."""
        registry, _, prefix = allowed.partition("/")
        if registry != self.registry:
            return False
        return not prefix or self.path == prefix or self.path.startswith(f"{prefix}/")


def may_be_id(text: str) -> bool:
    """True if Docker Engine would also take it for the beginning of an image's id."""
    return re.fullmatch(r"[0-9a-f]{1,64}", text) is not None


def _split(name: str) -> tuple[str, str]:
    """Registry and path. The part before the first slash is a registry if it looks like a host."""
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first or first != first.lower()):
        registry, path = first, rest
    else:
        registry, path = DEFAULT_REGISTRY, name
    if registry == f"index.{DEFAULT_REGISTRY}":
        registry = DEFAULT_REGISTRY
    return registry, f"library/{path}" if registry == DEFAULT_REGISTRY and "/" not in path else path
