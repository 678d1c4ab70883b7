"""The state of tenants' processes on disk: one directory each, complete or absent.

`ROOT/<resource name>/state.json` holds its labels and the command; `run.json` (the keeper's) holds the result. A
directory is made and removed by one rename under the lock of ROOT. That rename is the atomic primitive against double
creation, and against a port or a uid that two tenants share. If the process is killed in between, a name that begins
with a dot is left; the next process removes it.
"""

import os
import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from controlplane.errors import NotAvailableYet, WaitsFor
from controlplane.model import Endpoint
from controlplane.model.masking import hidden_values
from controlplane.ports import TENANT_ID_LABEL, TENANT_LABEL, LogPart, Origin, Resource, ResourceState
from providers.compute.process import ending, output
from providers.compute.process.config import ProcessConfig
from providers.compute.process.files import Locked, is_locked, read_json, states, write_json
from providers.compute.process.machine import runs
from providers.compute.process.ports import LOOPBACK, choose_port
from providers.compute.process.uids import Uids, remove_tree
from providers.kit.redaction import redact
from providers.kit.secrets import Secrets, is_reference
from providers.kit.signals import number_of

TAIL_BYTES = 4096
MARK = ".mark.json"
UNCONFINED = "an older release started it with the control plane's own account; the next start gives it one of its own"
ID = re.compile(r"(?P<name>[a-z][-a-z0-9]*)\.[0-9a-f]{32}")


@dataclass(frozen=True)
class ProcessRecord:
    """One directory, as it was read. If another release or a person made it, any part may be missing. A directory with
    our owner's label is still listed, and can be removed."""

    path: Path
    state: Mapping[str, Any]
    run: dict[str, Any] | None
    secrets: Secrets
    confines: bool
    """Each tenant has a uid of its own here."""

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
    def address(self) -> str:
        """Where it is reached: this machine's address at the time of its creation."""
        return str(self.state.get("address") or LOOPBACK)

    @property
    def launch(self) -> str | None:
        """The start that `run` reports on."""
        return None if self.run is None else self.run.get("launch")

    @property
    def unconfined(self) -> bool:
        """True if it should have a uid of its own and has none."""
        return self.confines and self.state.get("uid") is None

    @property
    def running(self) -> bool:
        """True if the command runs. With the wrong account it counts as stopped: the next start puts that right."""
        return not self.unconfined and runs(self.run)

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
            return not is_locked(f"{self.path}/lock") and not ending.what_runs(str(self.path), self._state, self.run)
        except FileNotFoundError:
            return True

    def terminate(self) -> bool:
        """Send its stop signal to the command's session. False if no process of it runs."""
        return ending.terminate(self._state, self.run, number_of(str(self.state.get("stop_signal") or "SIGTERM")))

    @property
    def grace(self) -> float | None:
        """Seconds between the stop signal and the kill, if the command has a time of its own."""
        found = self.state.get("stop_grace_seconds")
        return float(found) if isinstance(found, int) else None

    def end(self) -> bool:
        """Send SIGKILL to the command, its children and strays. False if something is left; then it took seconds."""
        return ending.end(str(self.path), self._state, self.run)

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
            endpoints=(Endpoint("http", f"http://{self.address}:{port}", port),) if isinstance(port, int) else (),
            launch=self.launch or "",
            detail="" if running else redact(self._detail(), self._hidden(origin.tenant_name)),
        )

    def secret_variables(self) -> Mapping[str, str]:
        """The values of variables that are given as references. Raises InvalidConfig, NotAvailableYet."""
        secrets = self.secrets.of(self.labels.get(TENANT_LABEL, ""))
        return {name: secrets.resolve(value) for name, value in self.env.items() if is_reference(value)}

    def logs(self, tail: int) -> str:
        """The last `tail` lines of its output."""
        return output.newest(self.path, tail)

    def logs_after(self, position: str | None, tail: int) -> LogPart:
        return output.after(self.path, position, tail)

    @property
    def _state(self) -> dict[str, Any]:
        return dict(self.state)

    def _hidden(self, tenant: str) -> Iterator[str]:
        """What no text may show: all values of the environment, and secrets in the command."""
        yield from self.secrets.of(tenant).known(self.env.values())
        yield from hidden_values({"command": self.state.get("command")})

    def _detail(self) -> str:
        if self.unconfined:
            return UNCONFINED
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
    holds the lock of `root` for 10 s (normally it is held for milliseconds).

    `uids`: each tenant has one of these for all its versions. None: the processes have our account. `address`: where
    tenants are reached."""

    def __init__(self, root: Path, uids: Uids | None, secrets: Secrets, address: str = LOOPBACK) -> None:
        self.root = root
        self._uids = uids
        self._secrets = secrets
        self._address = address

    def mark(self) -> str:
        """A random word that tells this directory from that of another home, made at the first call and kept. Empty if
        an older release has had tenants here: their platform was named without one.

        Raises OSError."""
        path = str(self.root / MARK)
        found = read_json(path)
        if found is None:
            older = (self.root / ".lock").exists()
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with Locked(f"{self.root}/.lock"):
                found = read_json(path)
                if found is None:
                    found = {"word": "" if older else uuid4().hex}
                    write_json(path, found)
        return str(found["word"])

    def create(self, origin: Origin, config: ProcessConfig) -> str | None:
        """The id of a new directory, not started. None: the name is taken. Raises NotAvailableYet if no port or uid is
        free."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)  # an older release let other accounts through
        self._clear()
        with Locked(f"{self.root}/.lock"):
            self._clear_drafts()
            target = self.root / origin.name
            if self.read(origin.name) is not None:
                return None
            if target.exists():
                # Incomplete: not ours, since we rename, but left by a full disk or a crash.
                ending.end(str(target), {}, read_json(str(target / "run.json")))
                self._set_aside(target)
            others = list(states(str(self.root)))
            try:
                port = choose_port(others)
            except OSError as error:
                text = error.strerror or "no port is free"
                raise NotAvailableYet(text, waits_for=WaitsFor.QUOTA_EXCEEDED) from None
            made = self.root / f".new-{uuid4().hex}"
            made.mkdir(mode=0o700)
            placed = self._place(origin.name, origin.labels(), others)
            resource_id = f"{origin.name}.{uuid4().hex}"
            state = {
                "id": resource_id,
                "labels": origin.labels(),
                **config.model_dump(mode="json"),
                **placed,
                "port": port,
                "address": self._address,
            }
            write_json(str(made / "state.json"), state)
            if self._uids is None:
                (made / "work").mkdir(mode=0o700)
            else:
                self._uids.make_work(placed["uid"], Path(placed["work"]))
            made.rename(target)
        return resource_id

    def confine(self, record: ProcessRecord) -> None:
        """Give a record without processes a uid and an empty working directory. Raises NotAvailableYet."""
        with Locked(f"{self.root}/.lock"):
            found = self.find(record.id)
            if found is not None and found.unconfined and self._uids is not None:
                placed = self._place(found.path.name, found.labels, list(states(str(self.root))))
                self._uids.make_work(placed["uid"], Path(placed["work"]))
                write_json(str(found.path / "state.json"), {**found.state, **placed})

    def read(self, name: str) -> ProcessRecord | None:
        """The record of that name. None: there is none, or it is incomplete."""
        path = self.root / name
        state = read_json(str(path / "state.json"))
        if state is None:
            return None
        run = read_json(str(path / "run.json"))
        return ProcessRecord(path, state, run, self._secrets, confines=self._uids is not None)

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
        record.end()  # no process, but perhaps a cgroup
        try:
            # A keeper that starts now finds the lock taken; a later one finds no directory.
            with Locked(f"{record.path}/lock"), Locked(f"{self.root}/.lock"):
                if self.find(record.id) is not None:
                    self._set_aside(record.path)
        except FileNotFoundError:
            return
        self._clear()
        uid = record.state.get("uid")
        if self._uids is not None and uid is not None:
            with Locked(f"{self.root}/.lock"):
                if self._uids.unused(uid):
                    self._uids.release(uid)
            self._uids.clear()

    def _place(self, name: str, labels: Mapping[str, str], others: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """`uid`, that of the tenant's other versions if it has any (None: ours), and `work`, the working directory.
        Call it under the lock of `root`."""
        if self._uids is None:
            return {"uid": None, "work": str(self.root / name / "work")}
        same = (state for state in others if _tenant(state) == labels[TENANT_ID_LABEL])
        uid = next((state["uid"] for state in same if isinstance(state.get("uid"), int)), None)
        if uid is None:
            uid = self._uids.claim(self.root)
        return {"uid": uid, "work": str(self._uids.work(uid, name))}

    def _set_aside(self, path: Path) -> None:
        path.rename(self.root / f".gone-{uuid4().hex}")

    def _clear(self) -> None:
        """Remove directories that were set aside by any process. It may take long, so call it without a lock."""
        for path in self.root.glob(".gone-*"):
            self._remove(path)

    def _clear_drafts(self) -> None:
        """Remove directories that were never completed since their makers were killed, and claims that belong to none.
        Call it under the lock of `root`, so that no process makes one now."""
        drafts = list(self.root.glob(".new-*"))
        for draft in drafts:
            self._remove(draft)
        if drafts and self._uids is not None:
            for uid in self._uids.claims(self.root) - {state.get("uid") for state in states(str(self.root))}:
                self._uids.release(uid)

    def _remove(self, path: Path) -> None:
        state = read_json(str(path / "state.json")) or {}
        work = state.get("work")
        if self._uids is not None and isinstance(work, str) and self._uids.holds(Path(work)):
            remove_tree(Path(work))
        remove_tree(path)


def _tenant(state: Mapping[str, Any]) -> object:
    labels = state.get("labels")
    return labels.get(TENANT_ID_LABEL) if isinstance(labels, Mapping) else None


def _read(path: Path, limit: int) -> str:
    """The last `limit` bytes, as text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            return file.read(limit).decode(errors="replace")
    except FileNotFoundError:
        return ""
