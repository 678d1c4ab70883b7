"""The command writes results to stdout and the rest to stderr: formatted on a terminal, plain lines in a pipe.

On a terminal, no text moves the cursor or sets a title: names, messages and output come from tenants and platforms.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment
from rich.status import Status

from controlplane.text import visible


class Visible:
    """A renderable without control characters in its texts. Its styles stay."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inner, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


class Harmless(RenderHook):
    """Makes everything that one console prints Visible, if it is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [Visible(one) for one in renderables] if self._console.is_terminal else renderables


def console(**options: Any) -> Console:
    made = Console(soft_wrap=True, highlight=False, **options)
    made.push_render_hook(Harmless(made))
    return made


output = console()
errors = console(stderr=True)


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
            self._status.update(visible(text))
        else:
            errors.print(text, markup=False)


@contextmanager
def progress(text: str) -> Iterator[Progress]:
    """Shows `text`, then each text passed to `say`, while the body runs."""
    if errors.is_terminal:
        with errors.status(visible(text)) as status:
            yield Progress(status)
    else:
        shown = Progress(None)
        shown.say(text)
        yield shown
