"""The end of a stream of bytes, without keeping the rest, and of a text."""

import time
from collections import deque
from collections.abc import Iterable


def last_bytes(chunks: Iterable[bytes], most: int, seconds: float) -> bytes:
    """The last `most` bytes of what comes within `seconds`, from the beginning of a line where it was cut. Holds little
    more than that at any time, however much comes. Blocks."""
    until = time.monotonic() + seconds
    kept: deque[bytes] = deque()
    size, cut = 0, False
    for chunk in chunks:
        kept.append(chunk)
        size += len(chunk)
        while size - len(kept[0]) >= most:
            size -= len(kept.popleft())
            cut = True
        if time.monotonic() > until:
            break
    text = b"".join(kept)
    cut = cut or len(text) > most
    return text[-most:].partition(b"\n")[2] if cut and b"\n" in text[-most:] else text[-most:]


def last_lines(text: str, tail: int) -> str:
    """The last `tail` lines; the last of them may have no end yet."""
    return "".join(text.splitlines(keepends=True)[-tail:]) if tail > 0 else ""
