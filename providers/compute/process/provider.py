"""Tenants as processes of this machine, which outlive actors, Ray and the control plane.

Atomic primitive against double creation: a rename under the lock of `$LANDLORD_HOME/processes` (`directory`). Against a
double start: the lock that each process's keeper holds (`keeper`). Linux only.

If we are root, each tenant has a uid of its own (`uids`), and all its processes end with it (`ending`). If we are not,
a tenant's command has all our rights, so LANDLORD_PROCESS_UNSAFE must allow it.
"""

import asyncio
import errno
import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import UUID, uuid4

from controlplane.errors import InvalidConfig, NotAvailableYet, Retryable, SettingsError, Unavailable, WaitsFor
from controlplane.ports import DesiredResource, LogPart, Origin, ProviderHealth, Ran, Resource
from controlplane.settings import Settings
from providers.compute.process import cgroups, commands
from providers.compute.process.config import ProcessConfig
from providers.compute.process.directory import ProcessDirectory, ProcessRecord
from providers.compute.process.ports import LOOPBACK
from providers.compute.process.programs import begin
from providers.compute.process.uids import Uids, uid_range
from providers.kit.commands import Running
from providers.kit.gated import GatedCompute, adoptable, owned
from providers.kit.secrets import Secrets
from providers.kit.threads import Threads

THREADS = 8
COMMANDS = 8
"""The number of commands beside tenants' own at once."""
LAUNCH_SECONDS = 15.0
GRACE_SECONDS = 10.0
"""Time between the stop signal and SIGKILL, for a command without a time of its own."""
KILL_SECONDS = 5.0
POLL_SECONDS = 0.05
RAREST_SECONDS = 1.0
"""The longest pause between two tries to start a keeper."""
PASSING = (errno.EAGAIN, errno.ENOMEM, errno.EADDRINUSE, errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ETXTBSY)
"""Errors of a start that may work later."""
KEEPER = Path(__file__).with_name("keeper.py")


class ProcessCompute(GatedCompute[ProcessConfig]):
    """A ComputeProvider, also `FollowsLogs`, `RunsCommands` and `HoldsData`. Several may work on one
    `root`, in one process or more.

    `uids`: each tenant gets one of these. None: its processes have our account. `cgroups`: the directory where version
    2 of them is mounted ("": none), by default looked up. `address`: where tenants are reached.

    A command that cannot be found is InvalidConfig. If tenants have uids, no process escapes stop and destroy. If not,
    a child that starts a session of its own (a daemon) does: commands must stay in the foreground."""

    name: ClassVar[str] = "process"
    resource_kind: ClassVar[str] = "process"
    config_model: ClassVar[type[ProcessConfig]] = ProcessConfig
    one_node: ClassVar[bool] = True

    def __init__(
        self,
        root: Path,
        *,
        uids: Uids | None = None,
        cgroups: str | None = None,
        secrets: Secrets | None = None,
        address: str = LOOPBACK,
    ) -> None:
        self._secrets = secrets or Secrets(Path("/nonexistent"))
        self.address = address
        self._directory = ProcessDirectory(root, uids, self._secrets, address)
        self._cgroups = cgroups
        self._threads = Threads("process", THREADS, translate=_on_disk)
        # Commands of people: a slow one holds no look of ours.
        self._commands = Threads("process-command", COMMANDS, translate=_on_disk)

    @classmethod
    def available(cls, settings: Settings) -> bool:
        try:
            cls.build(settings)
        except SettingsError:
            return False
        return True

    @classmethod
    def build(cls, settings: Settings) -> Self:
        """Raises SettingsError if there are no uids for tenants, and LANDLORD_PROCESS_UNSAFE does not allow ours."""
        uids = None
        if os.geteuid() == 0:
            uids = Uids(uid_range(settings.process_uids))
        elif not settings.process_unsafe:
            raise SettingsError(
                "LANDLORD_PROCESS_UNSAFE: only root can give each `process` tenant an account of its own; "
                "`true` lets tenants' commands run as you, with all your rights"
            )
        elif settings.process_role != "admin":
            raise SettingsError(
                "LANDLORD_PROCESS_ROLE: with LANDLORD_PROCESS_UNSAFE, a `process` tenant has all rights of the control "
                "plane, so only `admin` may create one"
            )
        address = LOOPBACK if settings.alone else settings.node_address
        return cls(settings.home / "processes", uids=uids, secrets=Secrets.build(settings), address=address)

    async def identity(self) -> str:
        """A hash of the machine's id and of the home's own mark: another home on this machine, and a machine with a
        copied id, are other platforms. The id itself must not leave the machine (machine-id(5))."""
        mark = await self._threads.ask(self._directory.mark)
        named = f"landlord process {_machine_id()} {mark}".rstrip()
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    def holds_data(self, config: Mapping[str, Any]) -> bool:
        return self.parse(config).workdir is not None

    async def create(self, desired: DesiredResource) -> str | None:
        """Create without starting. None: the name is taken."""
        config = self.parse(desired.config)
        return await self._threads.run(self._directory.create, desired.origin, config)

    async def observe(self, origin: Origin) -> Resource | None:
        record = await self._threads.ask(self._directory.read, origin.name)
        if record is None or not adoptable(record.labels, origin):
            return None
        return await self._threads.ask(record.resource)

    async def inspect(self, resource_id: str) -> Resource | None:
        record = await self._threads.ask(self._directory.find, resource_id)
        return None if record is None else await self._threads.ask(record.resource)

    async def list_owned(self, installation_id: str, tenant_id: UUID | None = None) -> list[Resource]:
        found = await self._threads.ask(lambda: [record.resource() for record in self._directory.records()])
        return owned(found, installation_id, tenant_id)

    async def start(self, resource_id: str) -> None:
        """Returns once the command runs. A missing resource is no error here: the next observation shows it."""
        before = await self._threads.ask(self._directory.find, resource_id)
        if before is None or await self._threads.ask(lambda: before.running):
            return
        if before.unconfined:
            await self.stop(resource_id)
            await self._threads.run(self._directory.confine, before)
        secrets = await self._threads.ask(before.secret_variables)
        after = await self._launched(before, secrets)
        if after.error is not None and after.code in PASSING:
            waits_for = WaitsFor.PORT_TAKEN if after.code == errno.EADDRINUSE else WaitsFor.PLATFORM_UNAVAILABLE
            raise NotAvailableYet(after.error, waits_for=waits_for, resource=after.path.name, code=after.code)
        if after.error is not None:
            raise InvalidConfig(after.error, resource=after.path.name, code=after.code)

    async def stop(self, resource_id: str) -> None:
        """Send its stop signal to the command's session, and after its grace SIGKILL to all processes of the
        command."""
        record = await self._threads.ask(self._directory.find, resource_id)
        if record is None:
            return
        grace = GRACE_SECONDS if record.grace is None else record.grace
        if await self._threads.run(record.terminate) and await self._ended(record, grace):
            return
        if not await self._threads.run(record.end) or not await self._ended(record, KILL_SECONDS):
            raise Unavailable(f"{record.path.name} does not end, even after SIGKILL")

    async def destroy(self, resource_id: str) -> None:
        await self.stop(resource_id)
        record = await self._threads.ask(self._directory.find, resource_id)
        if record is not None:
            await self._threads.run(self._directory.remove, record)

    async def logs(self, resource_id: str, tail: int) -> str:
        record = await self._threads.ask(self._directory.find, resource_id)
        return "" if record is None else await self._threads.ask(record.logs, tail)

    async def logs_after(self, resource_id: str, position: str | None, tail: int) -> LogPart:
        record = await self._threads.ask(self._directory.find, resource_id)
        if record is None:
            return LogPart("", position or "0")
        return await self._threads.ask(record.logs_after, position, tail)

    async def run_command(self, resource_id: str, command: Sequence[str], seconds: float) -> Ran:
        """One that has not ended in time is ended, with all of its session."""
        running = Running(seconds)
        record = await self._threads.ask(self._directory.find, resource_id)
        if record is None or record.launch is None or not await self._threads.ask(lambda: record.running):
            raise Unavailable(f"{resource_id.partition('.')[0]} does not run")
        secrets = await self._threads.ask(record.secret_variables)
        code = await self._commands.ask(commands.run, record.path, record.launch, command, secrets, running)
        return Ran(code, running.text, running.cut)

    async def health(self) -> ProviderHealth:
        try:
            writable = await self._threads.ask(_writable, self._directory.root)
        except Retryable as error:
            return ProviderHealth(False, error.message)
        if writable:
            return ProviderHealth(True)
        return ProviderHealth(False, "the state of processes, under LANDLORD_HOME, is not writable")

    async def close(self) -> None:
        self._threads.close()
        self._commands.close()

    async def _launched(self, before: ProcessRecord, secrets: Mapping[str, str]) -> ProcessRecord:
        """The record after a start, by this call or another. While an earlier keeper is still ending, it is tried once
        more."""
        if self._cgroups is None:
            self._cgroups = await self._threads.ask(cgroups.hierarchy)
        pause = POLL_SECONDS
        try:
            async with asyncio.timeout(LAUNCH_SECONDS):
                while True:
                    await self._threads.run(_launch, before.path, self._cgroups, secrets)
                    after = await self._threads.ask(self._directory.find, before.id)
                    if after is None or after.launch != before.launch:
                        return after or before
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, RAREST_SECONDS)
        except TimeoutError:
            raise Unavailable(f"{before.path.name} could not be started: its keeper did not start") from None

    async def _ended(self, record: ProcessRecord, seconds: float) -> bool:
        """Returns whether all processes of the command are gone within that time."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if await self._threads.ask(record.ended):
                        return True
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            return False


@contextmanager
def _on_disk() -> Iterator[None]:
    """Raises Unavailable if the disk or a lock fails."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unavailable(f"the state of processes is not available: {reason}", code=error.errno) from error


def _writable(root: Path) -> bool:
    usable = next((path for path in (root, *root.parents) if path.exists()), Path("/"))
    return os.access(usable, os.W_OK | os.X_OK)


def _launch(path: Path, cgroup_root: str, secrets: Mapping[str, str]) -> None:
    """Have a keeper start the command. If one is at work already, it leaves that one alone. Raises OSError."""
    words = str(path), uuid4().hex, cgroup_root
    keeper = begin(KEEPER, *words, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        keeper.communicate(json.dumps(dict(secrets)).encode(), LAUNCH_SECONDS)
    except subprocess.TimeoutExpired:
        # The first half only waits. The keeper itself is detached, and continues or not: the next look shows it.
        keeper.kill()
        keeper.wait()


def _machine_id() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            found = Path(path).read_text().strip()
        except OSError:
            continue
        if found:
            return found
    return socket.gethostname()
