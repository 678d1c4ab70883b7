"""Secrets reach the command and no file of ours; the command may run as somebody else."""

import os
import pwd
from pathlib import Path

import pytest

from controlplane.errors import NotAvailableYet, SettingsError
from controlplane.settings import load_settings
from providers.compute.process.directory import WORK_OF_USERS
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute_bench import SECRET, desire
from providers.kit.secrets import Secrets
from tests.contract.process.bench import OPEN, OWNER, main_process, names, shell, stopped, written


async def test_a_secret_reaches_the_command_and_no_file_of_ours(root: Path) -> None:
    secrets = root.parent / "secrets"
    secrets.mkdir()
    (secrets / "db").write_text(f"{SECRET}\n")
    provider = ProcessCompute(root, secrets=Secrets(secrets))
    config = {
        "command": ["/bin/sh", "-c", 'echo "got $DB"; test -e again || { touch again; exit 3; }; sleep 60'],
        "env": {"DB": {"secret": "file:db"}},
    }
    resource = await provider.apply(desire(OWNER, config), OPEN)
    await written(provider, resource, f"got {SECRET}")
    seen = await stopped(provider, resource)
    assert seen.detail == "the process exited with code 3: got ***"

    await provider.start(resource.id)
    await written(provider, resource, f"got {SECRET}\ngot {SECRET}")
    assert not files_with(SECRET, root)
    assert not [word for word in main_process(root, resource).parent().cmdline() if SECRET in word]  # type: ignore[union-attr]

    await provider.stop(resource.id)
    (secrets / "db").unlink()
    with pytest.raises(NotAvailableYet, match="file:db"):
        await provider.start(resource.id)
    await provider.destroy(resource.id)
    await provider.close()


def files_with(text: str, root: Path) -> list[Path]:
    """Those of ours: not the logs, which are the command's."""
    ours = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith("log")]
    assert ours
    return [path for path in ours if text in path.read_text()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
async def test_it_runs_as_the_process_user(root: Path) -> None:
    root.parent.chmod(0o700)
    provider = ProcessCompute(root, user="nobody")
    config = shell("id -u; pwd; touch mine && ls; cat ../state.json || echo denied; sleep 60")
    resource = await provider.apply(desire(OWNER, config), OPEN)
    uid, work, *rest = (await written(provider, resource, "denied")).splitlines()
    assert int(uid) == pwd.getpwnam("nobody").pw_uid
    assert "mine" in rest
    assert main_process(root, resource).environ()["HOME"] == work
    await provider.destroy(resource.id)
    assert Path(work).name not in names(WORK_OF_USERS)
    await provider.close()


def test_a_process_user_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    settings = load_settings({"LANDLORD_HOME": str(tmp_path), "LANDLORD_PROCESS_USER": "nobody-of-that-name"})
    with pytest.raises(SettingsError, match="LANDLORD_PROCESS_USER"):
        ProcessCompute.build(settings)
