"""The command writes results to stdout and the rest to stderr: formatted on a terminal, plain lines in a pipe.

On a terminal, no text moves the cursor or sets a title: names, messages and output come from tenants and platforms.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Column

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

    def __init__(self, bar: Bar | None, *, timed: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """`timed`: the lines elsewhere say the time as well."""
        self._bar = bar
        self._timed = timed
        self._clock = clock
        self._start = clock()
        self._said = ""

    def say(self, text: str) -> None:
        if text == self._said:
            return
        self._said = text
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=visible(text))
        else:
            passed = self._clock() - self._start
            errors.print(f"{text}, {passed:.0f} s" if self._timed and passed >= 1 else text, markup=False)


@contextmanager
def progress(text: str, *, timed: bool = False) -> Iterator[Progress]:
    """Shows `text`, then each text passed to `say`, while the body runs; on a terminal with the time that passed."""
    if errors.is_terminal:
        words = TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold"))
        columns = (SpinnerColumn(), TimeElapsedColumn(), words)
        with Bar(*columns, console=errors, transient=True) as bar:
            bar.add_task(visible(text), total=None)
            yield Progress(bar)
    else:
        shown = Progress(None, timed=timed)
        shown.say(text)
        yield shown
