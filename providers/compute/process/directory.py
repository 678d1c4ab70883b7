"""The state of tenants' processes on disk: one directory each, complete or absent.

`ROOT/<resource name>/state.json` holds its labels and the command; `run.json` (the keeper's) holds the result. A
directory is made and removed by one rename under the lock of ROOT. That rename is the atomic primitive against double
creation, and against a port that two tenants share. If the process is killed in between, a name that begins with a dot
is left; the next process removes it.
"""

import os
import pwd
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from controlplane.errors import NotAvailableYet
from controlplane.model import Endpoint
from controlplane.ports import Origin, Resource, ResourceState
from providers.compute.process.config import ProcessConfig
from providers.compute.process.machine import Locked, choose_port, is_locked, read_json, runs, session_of, write_json
from providers.kit.redaction import redact
from providers.kit.secrets import Secrets, is_reference

WORK_OF_USERS = Path("/var/lib/landlord-work")
"""Working directories of commands that run as LANDLORD_PROCESS_USER, who may not enter LANDLORD_HOME."""
TAIL_BYTES = 4096
ID = re.compile(r"(?P<name>[a-z][-a-z0-9]*)\.[0-9a-f]{32}")


@dataclass(frozen=True)
class ProcessRecord:
    """One directory, as it was read. If another release or a person made it, any part may be missing. A directory with
    our owner's label is still listed, and can be removed."""

    path: Path
    state: Mapping[str, Any]
    run: dict[str, Any] | None
    secrets: Secrets

    @property
    def id(self) -> str:
        return str(self.state.get("id") or f"{self.path.name}.{'0' * 32}")

    @property
    def labels(self) -> Mapping[str, str]:
        labels = self.state.get("labels")
        return {name: str(value) for name, value in labels.items()} if isinstance(labels, Mapping) else {}

    @property
    def env(self) -> Mapping[str, Any]:
        env = self.state.get("env")
        return env if isinstance(env, Mapping) else {}

    @property
    def launch(self) -> str | None:
        """The start that `run` reports on."""
        return None if self.run is None else self.run.get("launch")

    @property
    def running(self) -> bool:
        return runs(self.run)

    @property
    def error(self) -> str | None:
        """The reason why the command could not even be started."""
        return None if self.run is None else self.run.get("error")

    @property
    def code(self) -> int | None:
        """The errno of that failure."""
        return None if self.run is None else self.run.get("code")

    def ended(self) -> bool:
        """True if neither the command nor its children run, and its keeper has left."""
        try:
            return not session_of(self.run) and not is_locked(f"{self.path}/lock")
        except FileNotFoundError:
            return True

    def resource(self) -> Resource | None:
        """The record as a Resource. None if the labels are not ours."""
        origin = Origin.from_labels(self.labels)
        if origin is None:
            return None
        running = self.running
        port = self.run.get("port") if running and self.run is not None else None
        stopped = ResourceState.CREATED if self.run is None else ResourceState.STOPPED
        return Resource(
            id=self.id,
            name=self.path.name,
            origin=origin,
            state=ResourceState.RUNNING if running else stopped,
            endpoints=(Endpoint("http", f"http://127.0.0.1:{port}", port),) if isinstance(port, int) else (),
            detail="" if running else redact(self._detail(), self.secrets.known(self.env.values())),
        )

    def secret_variables(self) -> Mapping[str, str]:
        """The values of variables that are given as references. Raises InvalidConfig, NotAvailableYet."""
        return {name: self.secrets.resolve(value) for name, value in self.env.items() if is_reference(value)}

    def logs(self, tail: int) -> str:
        """The last `tail` lines of both log files."""
        texts = [_read(self.path / name) for name in ("log.1", "log")]
        lines = "".join(texts).splitlines(keepends=True)
        return "".join(lines[-tail:]) if tail > 0 else ""

    def _detail(self) -> str:
        if self.run is None:
            return "the process was never started"
        if "error" in self.run:
            return str(self.run["error"])
        if "exit_code" in self.run:
            text = f"the process exited with code {self.run['exit_code']}"
        elif "signal" in self.run:
            text = f"the process was ended by {signal.Signals(self.run['signal']).name}"
        else:
            text = "the process ended unseen: the machine was restarted, or its keeper was killed"
        lines = [line.strip() for line in _read(self.path / "log", TAIL_BYTES).splitlines() if line.strip()]
        return f"{text}: {lines[-1]}" if lines else text


class ProcessDirectory:
    """All directories under `root`. Blocks; safe across threads and processes. Raises TimeoutError if another process
    holds the lock of `root` for 10 s (normally it is held for milliseconds)."""

    def __init__(self, root: Path, user: str | None, secrets: Secrets) -> None:
        self.root = root
        self._user = user
        self._secrets = secrets

    def create(self, origin: Origin, config: ProcessConfig) -> str | None:
        """The id of a new directory, not started. None: the name is taken. Raises NotAvailableYet if no port is
        free."""
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        with Locked(f"{self.root}/.lock"):
            self._sweep()
            target = self.root / origin.name
            if self.read(origin.name) is not None:
                return None
            if target.exists():
                self._set_aside(target)  # incomplete: not ours, since we rename, but left by a full disk or a crash
            try:
                port = choose_port(str(self.root))
            except OSError as error:
                raise NotAvailableYet(error.strerror or "no port is free") from None
            made = self.root / f".new-{uuid4().hex}"
            made.mkdir(mode=0o711)
            work = self._provide_work(target)
            resource_id = f"{origin.name}.{uuid4().hex}"
            state = {
                "id": resource_id,
                "labels": origin.labels(),
                **config.model_dump(mode="json"),
                "work": str(work),
                "port": port,
            }
            write_json(str(made / "state.json"), state)
            if work.parent == target:
                (made / work.name).mkdir(mode=0o700)
            made.rename(target)
        return resource_id

    def read(self, name: str) -> ProcessRecord | None:
        """The record of that name. None: there is none, or it is incomplete."""
        path = self.root / name
        state = read_json(str(path / "state.json"))
        return None if state is None else ProcessRecord(path, state, read_json(str(path / "run.json")), self._secrets)

    def find(self, resource_id: str) -> ProcessRecord | None:
        """The record by id; the id contains the name."""
        matched = ID.fullmatch(resource_id)
        found = None if matched is None else self.read(matched["name"])
        return found if found is not None and found.id == resource_id else None

    def records(self) -> Iterator[ProcessRecord]:
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return
        for name in names:
            found = None if name.startswith(".") else self.read(name)
            if found is not None:
                yield found

    def remove(self, record: ProcessRecord) -> None:
        """Remove a directory whose command has ended. Raises TimeoutError if its keeper does not leave."""
        try:
            # A keeper that starts now finds the lock taken; a later one finds no directory.
            with Locked(f"{record.path}/lock"), Locked(f"{self.root}/.lock"):
                if self.find(record.id) is not None:
                    self._set_aside(record.path)
                self._sweep()
        except FileNotFoundError:
            return

    def _provide_work(self, target: Path) -> Path:
        """The working directory of the command: `work` in its directory, unless it runs as another user."""
        if self._user is None:
            return target / "work"
        entry = pwd.getpwnam(self._user)
        if entry.pw_uid == os.geteuid():
            return target / "work"
        WORK_OF_USERS.mkdir(mode=0o711, parents=True, exist_ok=True)
        work = WORK_OF_USERS / f"{target.name}-{uuid4().hex[:8]}"
        work.mkdir(mode=0o700)
        os.chown(work, entry.pw_uid, entry.pw_gid)
        return work

    def _set_aside(self, path: Path) -> None:
        path.rename(self.root / f".gone-{uuid4().hex}")

    def _sweep(self) -> None:
        """Remove directories that were set aside or never completed, by any process. Call it under the lock of
        `root`."""
        for path in [*self.root.glob(".gone-*"), *self.root.glob(".new-*")]:
            state = read_json(str(path / "state.json"))
            work = None if state is None else state.get("work")
            if isinstance(work, str) and Path(work).parent == WORK_OF_USERS:
                shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(path, ignore_errors=True)


def _read(path: Path, limit: int | None = None) -> str:
    """The last `limit` bytes, as text."""
    try:
        with path.open("rb") as file:
            if limit is not None:
                file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
