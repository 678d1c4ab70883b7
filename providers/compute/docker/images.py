"""Images of a Docker Engine, by blocking calls: found here or pulled, and what one says of itself.

Raises the SDK's errors, which `engine` translates, and the errors that each function names.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, NotFound
from docker.utils import parse_repository_tag

from controlplane.errors import InvalidConfig, NotAvailableYet
from providers.compute.docker.belongings import explanation
from providers.compute.docker.config import DockerConfig
from providers.compute.docker.login import Login
from providers.compute.docker.reference import ImageReference, may_be_id
from providers.compute.docker.refusals import refused_image

Logins = Callable[[str], Login]
"""The login for a registry, read when it is asked for. May raise what a reference to a secret raises."""


def provide(
    api: docker.APIClient, config: DockerConfig, logins: Logins, *, fresh: bool, seconds: float, silence: float
) -> None:
    """Have the image here. Raises NotAvailableYet, what `logins` raises if the image has to be pulled, and
    InvalidConfig if it keeps data in a volume that the config does not name.

    `fresh`: pull it even if it is here, unless it was built here: no registry knows such an image. `seconds`: time for
    the pull. `silence`: it ends if nothing comes for this time."""
    repository, tag = parse_repository_tag(config.image)
    image, code = _find(api, config.image)
    if config.pull == "never" and image is None:
        raise refused_image(config.image, config.pull, "", code)
    again = config.pull == "always" or (fresh and image is not None and _was_pulled(image, repository))
    if config.pull == "never" or (image is not None and not again):
        _refuse_unnamed_volumes(image, config)
        return
    login = logins(ImageReference.parse(config.image).registry)

    def refused(text: str, code: int | None = None) -> NotAvailableYet:
        return refused_image(config.image, config.pull, text, code, login=login.told, hidden=login.hidden)

    deadline = time.monotonic() + seconds
    try:
        for line in api.pull(repository, tag or "latest", stream=True, decode=True, auth_config=dict(login.fields)):
            if "error" in line:
                # A pull that has begun was answered 200, so a later failure has a code of its own, or none.
                raise refused(str(line["error"]), (line.get("errorDetail") or {}).get("code"))
            if time.monotonic() > deadline:
                raise refused(f"no end after {seconds:g} s")
    except APIError as error:
        raise refused(explanation(error), error.status_code or 0) from None
    except (requests.Timeout, urllib3.exceptions.ReadTimeoutError):
        raise refused(f"its registry sent nothing more for {silence:g} s") from None
    _refuse_unnamed_volumes(_find(api, config.image)[0], config)


def _refuse_unnamed_volumes(image: Mapping[str, Any] | None, config: DockerConfig) -> None:
    """Docker Engine gives each container a new, empty volume at each VOLUME of its image, and the volume goes with the
    container: an update, or a heal that nobody asked for, would empty a database. Raises InvalidConfig."""
    declared = ((image or {}).get("Config") or {}).get("Volumes") or {}
    unnamed = [place for place in sorted(declared) if _clean(place) not in map(_clean, config.mounted)]
    if not unnamed:
        return
    examples = ", ".join(f"`{_name_for(place)}:{place}`" for place in unnamed)
    message = (
        f"image {config.image} keeps data in {', '.join(unnamed)} (VOLUME), which the next version would not have; "
        f"name it in volumes, as {examples}, or in tmpfs if it need not last"
    )
    raise InvalidConfig(message, errors=[{"loc": "volumes", "message": message}])


def _find(api: docker.APIClient, image: str) -> tuple[Mapping[str, Any] | None, int | None]:
    """The image, or None and the code with which Docker Engine says that it has no such image.

    Docker Engine also takes a name for the beginning of an id. An image that was only found by its id does not count:
    it may be anybody's."""
    try:
        found: Mapping[str, Any] = api.inspect_image(image)  # type: ignore[no-untyped-call]  # the stubs have no type
    except NotFound as error:
        return None, error.status_code or 0
    repository = parse_repository_tag(image)[0]
    named = [*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ())]
    if may_be_id(repository) and not any(_short(parse_repository_tag(name)[0]) == repository for name in named):
        return None, 404
    return found, None


def _was_pulled(image: Mapping[str, Any], repository: str) -> bool:
    """True if a registry has, or had, it under this name: Docker Engine keeps the digest of each such name."""
    names = {_short(digest.partition("@")[0]) for digest in image.get("RepoDigests") or ()}
    return _short(repository) in names


def _short(repository: str) -> str:
    return repository.removeprefix("docker.io/").removeprefix("library/")


def _clean(place: str) -> str:
    return "/" + "/".join(part for part in place.split("/") if part not in ("", "."))


def _name_for(place: str) -> str:
    """A name of a volume, after its place."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "-", place).strip("-.")[:64] or "data"
