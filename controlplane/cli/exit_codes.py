"""The command's exit codes, and the exit code of each error."""

from enum import IntEnum
from typing import Any

from controlplane.cli.console import errors
from controlplane.cli.elsewhere import Group
from controlplane.cli.next_steps import next_step
from controlplane.errors import DeadlineExceeded, LandlordError, NotRunning, SettingsError
from controlplane.text import clean
from landlord_client import LandlordClientError, Problem, Unreachable, WaitedTooLong


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    DOWN = 3
    TIMEOUT = 4


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "refused, or it ended badly",
    Exit.USAGE: "wrong usage or settings",
    Exit.DOWN: "no control plane answers",
    Exit.TIMEOUT: "`--timeout` passed",
}
HELP = f"Exit codes: {' · '.join(f'{code.value} {meaning}' for code, meaning in MEANINGS.items())}"


def exit_of(error: LandlordError | LandlordClientError) -> Exit:
    match error:
        case SettingsError():
            return Exit.USAGE
        case Unreachable() | NotRunning():
            return Exit.DOWN
        case DeadlineExceeded() | WaitedTooLong():
            return Exit.TIMEOUT
        case _:
            return Exit.FAILED


def describe(error: LandlordError | LandlordClientError) -> str:
    """One line for a person, one more for each wrong field, and one that says what to do next."""
    lines = [clean(error.message)]
    if isinstance(error, Problem):
        lines[0] += f" ({error.code})"
        lines += ["  " + clean(f"{wrong['loc']}: {wrong['message']}") for wrong in error.errors]
    if (step := next_step(error)) is not None:
        lines.append(f"next: {step}")
    return "\n".join(lines)


class Commands(Group):
    """The root group. An error of ours ends the command with a line on stderr and its exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (LandlordError, LandlordClientError) as error:
            errors.print(f"error: {describe(error)}", style="red", markup=False, highlight=False)
            raise SystemExit(exit_of(error)) from None
