"""The login with which an image is pulled: a tenant's own, out of a secret, else the one of docker's own command here.

Both are read anew at each pull: a login that was renewed is used at once.
"""

import base64
import binascii
import json
import logging
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from docker import auth
from docker.errors import DockerException

from controlplane.errors import NotAvailableYet, WaitsFor

logger = logging.getLogger(__name__)

HELPER = "docker-credential-"
"""Beginning of the names of the programs that keep logins for docker."""
HELPER_SECONDS = 20.0
NOT_KEPT = b"credentials not found"
FORMS = "it must be USER:PASSWORD, or the JSON of docker's config.json with `auths`"


@dataclass(frozen=True, slots=True)
class Login:
    """`fields`: as Docker Engine takes them, empty for a pull without a login. `told`: where it is from, or why there
    is none, for the message of a refusal; empty if there should be none."""

    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    told: str = ""

    @classmethod
    def of_tenant(cls, text: str, registry: str) -> Self:
        """`text`: the content of the secret. Raises NotAvailableYet if it has no login for that registry (yet); never
        quotes it."""
        if text.lstrip().startswith("{"):
            found = _listed(text, registry)
        else:
            user, colon, password = text.partition(":")
            if not (user and colon and password) or "\n" in text:
                raise _unfit(FORMS)
            found = {"username": user, "password": password, "serveraddress": registry}
        return cls(found, "the login of registry_auth")

    @classmethod
    def of_machine(cls, registry: str) -> Self:
        """What `docker login` left for the account of the control plane. A configuration that cannot be used, or a
        helper that it names and that is not here, is no login."""
        try:
            config = auth.load_config()
            keeper = config.get_credential_store(registry)
            found, told = _kept(f"{HELPER}{keeper}", registry) if keeper else ({}, "")
            if not found:
                found = auth.AuthConfig({"auths": config.auths}).resolve_authconfig(registry) or {}
        except (DockerException, ValueError, KeyError, AttributeError, TypeError) as error:
            logger.warning("docker's configuration has no usable login: %s", type(error).__name__)
            return cls({}, "none: docker's configuration on the control plane's machine cannot be read")
        return cls(found, "the login that docker's configuration has on the control plane's machine" if found else told)

    @property
    def hidden(self) -> list[str]:
        """What no text may show."""
        values = [value for name, value in self.fields.items() if name.lower() not in _SHOWN]
        return [*values, *(base64.b64encode(value.encode()).decode() for value in values)]


_SHOWN = frozenset({"username", "serveraddress", "email"})


def _kept(helper: str, registry: str) -> tuple[Mapping[str, str], str]:
    """The login that a credential helper has, and if there is none, why not; empty if it simply has none. By its
    protocol (https://github.com/docker/docker-credential-helpers), and not by the SDK, which would wait for ever."""
    program = shutil.which(helper)
    if program is None:
        return {}, f"none: {helper}, which docker's configuration names, is not installed"
    asked = auth.INDEX_URL if registry == auth.INDEX_NAME else registry
    try:
        done = subprocess.run(
            [program, "get"], input=asked.encode(), capture_output=True, timeout=HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.warning("%s gives no login: %s", helper, type(error).__name__)
        return {}, f"none: {helper} does not answer"
    if done.returncode != 0:
        return {}, "" if NOT_KEPT in done.stdout.lower() else f"none: {helper} ended with {done.returncode}"
    entry = json.loads(done.stdout)
    user, secret = str(entry["Username"]), str(entry["Secret"])
    if not secret:
        return {}, ""
    login = {"identitytoken": secret} if user == auth.TOKEN_USERNAME else {"username": user, "password": secret}
    return {**login, "serveraddress": asked}, ""


def _listed(text: str, registry: str) -> Mapping[str, str]:
    """The login for the registry in the JSON of a config.json. Programs that it names are never run."""
    try:
        entries = json.loads(text)["auths"]
        parsed = auth.AuthConfig.parse_auth({name: _coded(entry) for name, entry in entries.items()}, True)
        found: Mapping[str, str] | None = auth.AuthConfig({"auths": parsed}).resolve_authconfig(registry)
    except (DockerException, ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise _unfit(FORMS) from None
    if not found:
        raise _unfit(f"it has no login for {registry}")
    return found


def _coded(entry: Any) -> Any:
    """An entry with user and password as `auth`, as docker writes it itself."""
    if isinstance(entry, Mapping) and "auth" not in entry and {"username", "password"} <= entry.keys():
        pair = f"{entry['username']}:{entry['password']}"
        return {**entry, "auth": base64.b64encode(pair.encode()).decode()}
    return entry


def _unfit(why: str) -> NotAvailableYet:
    return NotAvailableYet(f"the secret of registry_auth cannot be used: {why}", waits_for=WaitsFor.SECRET_MISSING)
