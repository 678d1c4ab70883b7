"""The config of a site."""

from pathlib import PurePosixPath

from pydantic import Field, field_validator

from controlplane.model import HealthSpec
from providers.kit.configs import Problems, ProviderConfig


class SitesConfig(ProviderConfig):
    """`files`: relative path → text. They are the complete site: a new generation brings its own."""

    files: dict[str, str] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _inside(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\x00" in name or not path.parts:
                raise ValueError("every name must be a path inside of the site")
        return value

    def unsupported(self, health: HealthSpec) -> Problems:
        probes = (("http", health.http), ("tcp", health.tcp))
        return [
            {"loc": f"health.{kind}", "message": "a site has no address of its own; leave it out"}
            for kind, probe in probes
            if probe is not None
        ]
