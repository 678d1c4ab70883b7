"""A command's output, followed over all that its keeper and the command itself do to the two files."""

import os
from pathlib import Path

import pytest

from providers.compute.process import keeper, output
from providers.compute.process.files import write_json


class Log:
    """A command's log as its keeper bounds it, and one who follows it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.position: str | None = None
        self.told = ""

    def write(self, text: bytes) -> None:
        with (self.directory / "log").open("ab") as file:
            file.write(text)

    def bound(self) -> None:
        keeper.bound_log(str(self.directory))

    def look(self) -> str:
        part = output.after(self.directory, self.position, 2)
        self.position = part.position
        self.told += part.text
        return part.text


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(keeper, "LOG_BYTES", 100)
    return Log(tmp_path)


def test_it_begins_with_the_last_lines(log: Log) -> None:
    assert log.look() == ""
    log.write(b"one\ntwo\nthree\n")
    assert output.after(log.directory, None, 2).text == "two\nthree\n"
    assert output.newest(log.directory, 2) == "two\nthree\n"
    assert output.newest(log.directory, 0) == ""


def test_nothing_is_lost_or_told_twice_where_the_log_is_moved(log: Log) -> None:
    log.look()
    expected = ""
    for number in range(100):
        log.write(line := f"line {number}\n".encode())
        expected += line.decode()
        if number % 3 == 0:
            log.look()
        log.bound()
    log.look()
    assert log.told == expected
    assert (log.directory / "log").stat().st_size <= 100


def test_who_was_away_for_long_gets_what_is_kept(log: Log) -> None:
    log.look()
    for number in range(100):
        log.write(f"line {number}\n".encode())
        log.bound()
    assert log.look() == output.newest(log.directory, 1000)
    assert log.told.endswith("line 98\nline 99\n")


@pytest.mark.parametrize("done", ["nothing", "truncated"])
def test_a_keeper_that_is_killed_while_it_moves_the_log_loses_nothing(log: Log, done: str) -> None:
    """Also for who looks in that moment, and for the next keeper."""
    log.write(b"x" * 120 + b"\n")
    log.look()
    log.write(b"new\n")
    whole = (log.directory / "log").read_bytes()
    log.bound()
    write_json(f"{log.directory}/log.moved", {"before": 0, "moving": len(whole)})
    if done == "nothing":
        (log.directory / "log").write_bytes(whole)
    assert log.look() == "new\n"
    assert log.look() == ""
    log.write(b"newer\n")
    assert log.look() == "newer\n"
    log.write(b"y" * 110 + b"\n")
    log.bound()
    assert log.look() == "y" * 99 + "\n"
    assert log.look() == ""


def test_a_command_that_empties_its_own_log_is_read_from_there(log: Log) -> None:
    log.write(b"one\ntwo\n")
    log.look()
    os.truncate(log.directory / "log", 0)
    log.write(b"anew\n")
    assert log.look() == "anew\n"


def test_half_a_character_waits_for_the_other(log: Log) -> None:
    letter = "é".encode()
    log.write(b"caf" + letter[:1])
    assert log.look() == "caf"
    log.write(letter[1:] + b"\n")
    assert log.look() == "é\n"
    log.write(b"\xff\n")
    assert log.look() == "\ufffd\n"


def test_a_position_of_anybody_is_no_number_to_trust(log: Log) -> None:
    log.write(b"one\ntwo\nthree\n")
    for position in ("-1", "1e9", "x", "", "²", "9" * 64):
        assert output.after(log.directory, position, 1).text in ("three\n", "one\ntwo\nthree\n")
