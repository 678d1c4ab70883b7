"""Where a reader of a container's output was, by the times of its entries."""

from collections.abc import Iterator
from typing import Any

import pytest

from providers.compute.docker import entries
from providers.compute.docker.entries import Follower


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the engine has. Asked for what came since, it gives all that it has, as one that rounds may."""
    kept: list[bytes] = []

    def read(api: Any, container: str, **parameters: int) -> Iterator[bytes]:
        assert parameters.pop("timestamps") == 1
        assert set(parameters) in ({"tail"}, {"since"})
        yield from kept[-parameters["tail"] :] if "tail" in parameters else list(kept)

    monkeypatch.setattr(entries, "read", read)
    return kept


def look(position: str | None, tail: int = 2) -> tuple[bytes, str]:
    follower = Follower(position, tail)
    text = b"".join(follower.read(None, "c"))
    return text, follower.position


def test_entries_of_one_moment_are_counted(written: list[bytes]) -> None:
    at = b"2026-12-01T09:00:00.123456789Z "
    written += [at + b"one\n", at + b"two\n"]
    text, position = look(None)
    assert (text, position) == (b"one\ntwo\n", "1796115600.123456789-2")
    written.append(at + b"three\n")
    text, position = look(position)
    assert (text, position) == (b"three\n", "1796115600.123456789-3")
    assert look(position) == (b"", position)


def test_all_of_a_second_are_counted_where_an_engine_says_no_more(written: list[bytes]) -> None:
    """As Podman: then the last lines are not all of their moment."""
    written += [b"2026-12-01T09:00:00Z %d\n" % number for number in range(5)]
    written += [b"2026-12-01T09:00:01Z %d\n" % number for number in range(5, 9)]
    text, position = look(None, 6)
    assert (text, position) == (b"3\n4\n5\n6\n7\n8\n", "1796115601.000000000-4")
    written.append(b"2026-12-01T09:00:01Z 9\n")
    assert look(position)[0] == b"9\n"


def test_times_of_any_zone_are_compared(written: list[bytes]) -> None:
    written += [b"2026-12-01T09:00:00.1Z one\n", b"2026-12-01T10:00:00.2+01:00 two\n"]
    written.append(b"2026-12-01T09:00:00.3Z three\n")
    assert look("1796115600.200000000-1") == (b"three\n", "1796115600.300000000-1")


def test_streams_that_are_out_of_order_by_a_little_are_told_once(written: list[bytes]) -> None:
    _, position = look(None)
    written += [b"2026-12-01T09:00:00.2Z out\n", b"2026-12-01T09:00:00.1Z err\n"]
    text, position = look(position)
    assert text == b"out\nerr\n"
    assert look(position) == (b"", position)


@pytest.mark.parametrize("position", [None, "", "x", "1.2-3", "-1.000000000-1", "1.000000000-1\n"])
def test_without_a_position_it_begins_with_the_last_lines(written: list[bytes], position: str | None) -> None:
    written += [b"2026-12-01T09:00:0%d.5Z %d\n" % (number, number) for number in range(5)]
    assert look(position) == (b"3\n4\n", "1796115604.500000000-1")


def test_an_entry_without_a_time_is_told_as_it_is(written: list[bytes]) -> None:
    written.append(b"no time\n")
    assert look(None)[0] == b"no time\n"
