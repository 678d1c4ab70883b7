"""Lines of several writers in one bounded file."""

import json
from pathlib import Path

from controlplane.local.logfile import LONGEST_LINE, LineFile, copy


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_full_file_is_moved_aside_and_every_writer_goes_on_in_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    writers = [LineFile(path, largest=100, kept=2) for _ in range(2)]
    for number in range(40):
        writers[number % 2].write(f"{number:019}".encode())
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["x.log", "x.log.1", "x.log.2"]
    assert all(file.stat().st_size <= 120 for file in files)
    found = [line for file in reversed(files) for line in lines(file)]
    # The newest, in order and without a gap.
    assert found == [f"{number:019}" for number in range(40 - len(found), 40)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_that_the_disk_does_is_raised(tmp_path: Path) -> None:
    LineFile(tmp_path / "missing" / "x.log").write(b"lost")
    file = LineFile(tmp_path / "x.log", look_seconds=0)
    file.write(b"a")
    (tmp_path / "x.log").unlink()
    file.write(b"b" * (LONGEST_LINE + 10))
    assert [len(line) for line in lines(tmp_path / "x.log")] == [LONGEST_LINE]


def test_lines_that_are_no_objects_are_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    copy([b'{"a":1}\n', b"Server api/one is DOWN\x1b[31m \xff\n"], LineFile(path))
    first, second = (json.loads(line) for line in lines(path))
    assert first == {"a": 1}
    assert second["message"] == "Server api/one is DOWN\x1b[31m \ufffd"
    assert "\x1b" not in path.read_text()
