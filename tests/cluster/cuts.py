"""Cuts of a machine from the others, each for a time, and what they are called in a report."""

import asyncio
import contextlib
import random
from dataclasses import dataclass

from tests.cluster.machines import Machine

SHORT, LONG = 5.0, 30.0
PAST_THE_GRACE = 50.0
"""A machine that is silent is dead to the head after 15 s, and after the grace its tenants are made anew."""
GRACE_SECONDS = 20
DATABASE_PORT = 5432
RULES = {
    "so that nothing comes in": ("INPUT -i eth0",),
    "so that nothing goes out": ("OUTPUT -o eth0",),
    "from Postgres": (f"OUTPUT -p tcp --dport {DATABASE_PORT}", f"INPUT -p tcp --sport {DATABASE_PORT}"),
}
BOTH_WAYS = "both ways"


@dataclass(frozen=True)
class Cut:
    """`machine`: which one of them, from 0, the head; `how`: of RULES, or BOTH_WAYS."""

    machine: int
    how: str
    seconds: float

    @classmethod
    def of(cls, rng: random.Random, machines: int) -> "Cut":
        how = rng.choice([BOTH_WAYS, *RULES])
        return cls(rng.randrange(machines), how, rng.choice([SHORT, LONG, PAST_THE_GRACE]))

    def __str__(self) -> str:
        return f"machine {self.machine} was cut {self.how} for {self.seconds:g} s"

    async def made(self, machine: Machine) -> None:
        """Returns once it is over."""
        with contextlib.ExitStack() as left:
            if self.how == BOTH_WAYS:
                left.callback(machine.mend)
                machine.cut()
            else:
                left.enter_context(machine.dropping(*RULES[self.how]))
            await asyncio.sleep(self.seconds)
