"""Where things are, and with which modes they are made."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.errors import SettingsError
from controlplane.local import paths
from controlplane.local.paths import LONGEST_RAY_DIRECTORY, Home, private_directory, write_private


@pytest.fixture(autouse=True)
def _no_runtime_left(tmp_path: Path) -> Iterator[None]:
    """The runtime directory is outside of the home."""
    yield
    for root in (tmp_path / "home", tmp_path / "a" / "b"):
        shutil.rmtree(Home(root).runtime, ignore_errors=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_made_is_private_and_what_was_there_keeps_its_mode(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir()
    root.chmod(0o755)
    home = Home(root)
    home.ensure()
    assert mode(root) == 0o755
    assert mode(home.logs) == mode(home.ray) == mode(home.runtime) == 0o700


def test_parents_that_are_missing_are_made(tmp_path: Path) -> None:
    Home(tmp_path / "a" / "b").ensure()
    assert mode(tmp_path / "a" / "b") == 0o700


def test_a_home_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="LANDLORD_HOME"):
        Home(tmp_path / "file" / "home").ensure()
    with pytest.raises(SettingsError, match="LANDLORD_HOME"):
        private_directory(tmp_path / "file")


def test_the_id_is_the_homes_real_path(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert Home(tmp_path / "one").id == Home(tmp_path / "link").id
    assert Home(tmp_path / "one").id != Home(tmp_path / "two").id


def test_homes_of_one_path_on_two_machines_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    home.ensure()
    machine = tmp_path / "machine-id"
    monkeypatch.setattr(paths, "MACHINE_ID", machine)
    machine.write_text("first\n")
    first = home.identity
    home.ensure()
    assert home.identity == first, "it stays, start after start"
    assert first.startswith(f"{home.root}@")
    machine.write_text("second\n")
    assert home.identity != first, "a copy of the home, on another machine"
    machine.unlink()
    without = home.identity
    home.mark.unlink()
    home.ensure()
    assert home.identity != without, "two containers without a machine id, with a path that is the same in both"
    assert mode(home.mark) == 0o600


def test_rays_directory_leaves_a_long_home(tmp_path: Path) -> None:
    assert Home(Path("/srv/landlord")).ray == Path("/srv/landlord/ray")
    far = Home(tmp_path / ("d" * 60))
    assert far.ray == far.runtime / "ray"
    assert len(os.fsencode(far.ray)) <= LONGEST_RAY_DIRECTORY


def test_nothing_is_left_outside_of_the_home() -> None:
    # A short path, so that Ray's directory is inside of the home.
    with tempfile.TemporaryDirectory(prefix="ll-") as root:
        home = Home(Path(root))
        home.ensure()
        home.sockets.mkdir()
        (home.runtime / "haproxy").touch()
        home.clear_runtime()
        assert not home.runtime.exists()
        home.clear_runtime()


def test_rays_logs_stay_where_they_had_to_be(tmp_path: Path) -> None:
    home = Home(tmp_path / ("d" * 60))
    home.ensure()
    home.sockets.mkdir()
    home.clear_runtime()
    assert list(home.runtime.iterdir()) == [home.ray]
    shutil.rmtree(home.runtime)


def test_a_private_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "token"
    write_private(file, "one")
    file.chmod(0o644)
    write_private(file, "two")
    assert file.read_text() == "two"
    assert mode(file) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("name", ["", "token", "config.yaml", "secrets"])
def test_a_home_that_others_may_write_to_is_refused(tmp_path: Path, name: str) -> None:
    """They could put their own token there, which `up` would make the admin's."""
    home = Home(tmp_path / "home")
    home.ensure()
    if name:
        (home.root / name).touch()
    (home.root / name).chmod(0o720)
    with pytest.raises(SettingsError, match=rf"LANDLORD_HOME: others may write to .*{name or 'home'}; `chmod go-w"):
        home.ensure()
    (home.root / name).chmod(0o700)
    home.ensure()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["", "token", "secrets"])
def test_a_home_that_is_somebody_elses_is_refused_to_root_too(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "home")
    home.ensure()
    if name:
        (home.root / name).symlink_to("/etc/hostname")
    os.chown(home.root / name, 12345, 12345, follow_symlinks=False)
    with pytest.raises(SettingsError, match="belongs to another user"):
        home.ensure()
