"""The end of a stream, of bounded size, however long the stream is."""

from collections.abc import Iterator

import pytest

from providers.kit.tails import last_bytes


@pytest.mark.parametrize(
    ("chunks", "kept"),
    [
        ([], b""),
        ([b"one\n", b"two\n"], b"one\ntwo\n"),
        ([b"one\n", b"two\n", b"three\n"], b"two\nthree\n"),
        ([b"12345\n"] * 100, b"12345\n"),
        ([b"x" * 100], b"x" * 12),
        ([b"x" * 100, b"\nyes\n"], b"yes\n"),
        ([b"x" * 12], b"x" * 12),
    ],
)
def test_it_is_the_end_from_the_beginning_of_a_line(chunks: list[bytes], kept: bytes) -> None:
    assert last_bytes(chunks, 12, 60) == kept


def test_a_stream_without_end_is_left_in_time() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"more\n"

    assert last_bytes(endless(), 12, 0.05) == b"more\nmore\n"
