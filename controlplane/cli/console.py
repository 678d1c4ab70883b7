"""The command writes results to stdout and the rest to stderr: formatted on a terminal, plain lines in a pipe."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

output = Console(soft_wrap=True, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


class Progress:
    """Shows progress: on a terminal one line that changes, elsewhere a line for each change."""

    def __init__(self, status: Status | None) -> None:
        self._status = status
        self._said = ""

    def say(self, text: str) -> None:
        if text == self._said:
            return
        self._said = text
        if self._status is not None:
            self._status.update(text)
        else:
            errors.print(text, markup=False)


@contextmanager
def progress(text: str) -> Iterator[Progress]:
    """Shows `text`, then each text passed to `say`, while the body runs."""
    if errors.is_terminal:
        with errors.status(text) as status:
            yield Progress(status)
    else:
        shown = Progress(None)
        shown.say(text)
        yield shown
