"""What a client may say about a process, and what of it can never work."""

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from controlplane.model import HealthSpec, Strict
from providers.compute.secrets import Variable, Word

EnvName = Annotated[str, StringConstraints(pattern=r"^[^=\x00]+$")]


class ProcessConfig(Strict):
    """`{port}` in the command and in `env` stands for the port that is chosen for the tenant, on 127.0.0.1."""

    command: list[Word] = Field(min_length=1, description="the program, found in PATH, and its arguments; no shell")
    env: dict[EnvName, Variable] = Field(default_factory=dict)
    workdir: Word | None = Field(default=None, description="an absolute path; left out: an empty one of its own")

    @field_validator("command")
    @classmethod
    def _named(cls, value: list[str]) -> list[str]:
        if not value[0]:
            raise ValueError("the first word names the program")
        return value

    @field_validator("workdir")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("/"):
            raise ValueError("must be an absolute path")
        return value

    def problems(self, health: HealthSpec) -> list[dict[str, str]]:
        """What can never work, as InvalidConfig's `errors`."""
        probed = "http" if health.http is not None else "tcp" if health.tcp is not None else None
        if probed is None or any(
            "{port}" in text for text in (*self.command, *self.env.values()) if isinstance(text, str)
        ):
            return []
        return [{"loc": f"health.{probed}", "message": "there is nothing to probe: the command never mentions {port}"}]
