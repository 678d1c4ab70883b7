"""The config of a process, and the checks that refuse an impossible one."""

from posixpath import normpath
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from controlplane.model import Bound, HealthSpec, Strict
from providers.kit.configs import Problems, ProviderConfig
from providers.kit.secrets import SecretNames, Variable, Word
from providers.kit.signals import MOST_GRACE, StopSignal

DEFAULT_PIDS = 512

EnvName = Annotated[str, StringConstraints(pattern=r"^[^=\x00]+$"), Bound(characters=256)]


class Resources(Strict):
    """Limits of the command and all its children. A cgroup enforces them if this machine has version 2 of cgroups with
    that controller. If not, `pids` is counted over the tenant's versions together, `memory_mib` holds for each process
    alone, and `cpu_millis` does nothing."""

    memory_mib: int | None = Field(default=None, ge=8, le=2**24, description="MiB; there is no swap beyond it")
    cpu_millis: int | None = Field(default=None, ge=10, le=10**6, description="thousandths of a CPU")
    pids: int = Field(default=DEFAULT_PIDS, ge=4, le=2**20, description="processes and threads at a time")


class ProcessConfig(ProviderConfig):
    """In the command and in `env`, `{port}` stands for the port that is chosen for the tenant, and `{address}` for the
    address of this machine where it is reached."""

    command: Annotated[list[Word], Bound(items=512)] = Field(
        min_length=1, description="the program, found in PATH, and its arguments; no shell"
    )
    env: Annotated[dict[EnvName, Variable], Bound(items=512)] = Field(default_factory=dict, repr=False)
    secret_env: SecretNames = Field(default_factory=list)
    workdir: Annotated[Word, Bound(characters=4096)] | None = Field(
        default=None,
        description="an absolute path; one version runs in it at a time. Left out: an empty directory of its own",
    )
    resources: Resources = Resources()
    stop_grace_seconds: int | None = Field(
        default=None, ge=0, le=MOST_GRACE, description="between the stop signal and the kill; 10 if left out"
    )
    stop_signal: StopSignal | None = Field(default=None, description="SIGTERM if left out")

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

    @property
    def takes_port(self) -> bool:
        """True if the config uses `{port}`, so that the command needs no port of its own."""
        return any("{port}" in text for text in (*self.command, *self.env.values()) if isinstance(text, str))

    def excludes(self, other: "ProcessConfig") -> bool:
        """True if the two cannot run side by side: they share a directory, or neither uses `{port}`, so that any port
        is hard-coded in the command."""
        return self._shares_workdir(other) or not (self.takes_port or other.takes_port)

    def _shares_workdir(self, other: "ProcessConfig") -> bool:
        if self.workdir is None or other.workdir is None:
            return False
        return normpath(self.workdir) == normpath(other.workdir)

    def problems(self, health: HealthSpec) -> Problems:
        probed = "http" if health.http is not None else "tcp" if health.tcp is not None else None
        if probed is None or self.takes_port:
            return []
        return [{"loc": f"health.{probed}", "message": "there is nothing to probe: the command never mentions {port}"}]
