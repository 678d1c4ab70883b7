"""The small worlds that are explored: SHORT in `make test`, LONG beside it."""

from dataclasses import replace

from tests.model.case import Case
from tests.model.world import Budget

CREATE_DELETE = Case("create, delete, second runner", Budget(deletes=1, seconds=1))
UPDATE = Case(
    "update, second runner, crash, deadline", Budget(patches=1, seconds=1, crashes=1, deadlines=1), ready=True
)
RETRY = Case("update fails, retry, crash", Budget(patches=1, failures=1, retries=1, crashes=1), ready=True)
TWO_UPDATES = Case("two updates, one fails", Budget(patches=2, failures=1), ready=True)
CANCEL = Case("update, cancel, delete", Budget(patches=1, cancels=1, deletes=1), ready=True)
FORCE = Case("forced delete in an update, second runner", Budget(patches=1, forces=1, seconds=1), ready=True)
REBIRTH = Case("deleted by force, the name again, zombie runner", Budget(forces=1, rebirths=1))
DELETE_FAILS = Case("the engine gives up on a delete", Budget(deletes=1, failures=1), ready=True)
FIXED_PORT = Case(
    "fixed port: update fails, second runner",
    Budget(patches=1, failures=1, seconds=1, crashes=1),
    ready=True,
    exclusive=True,
)
MOVE = Case(
    "move to another provider, delete",
    Budget(patches=1, deletes=1, deadlines=1),
    ready=True,
    providers={2: "other"},
)
PAUSE = Case("paused, slow owner, update, delete", Budget(patches=1, pauses=1, deletes=1), ready=True, split=True)
SLOW_OWNER = Case(
    "slow owner, second runner, failure", Budget(patches=1, seconds=1, failures=1), ready=True, split=True
)
HEAL = Case("it dies, is healed, within a budget", Budget(kills=2, crashes=1), ready=True, looks=True, heal_budget=1)
LOOK_UPDATE = Case("a look in flight, update", Budget(patches=1, kills=1), ready=True, looks=True)
LOOK_CANCEL = Case("a heal, cancelled", Budget(kills=1, cancels=1), ready=True, looks=True, split=True, heal_budget=1)
OUTAGES = Case("the platform answers with errors", Budget(deletes=1, outages=1))
ZOMBIE = Case("embedded: a zombie owner", Budget(patches=1, owners=1), ready=True, embedded=True, split=True)
CLUSTERS = Case(
    "two clusters: the lease expires, the owner wakes",
    Budget(patches=1, owners=1, expiries=1),
    ready=True,
    embedded=True,
    split=True,
    passivates=True,
)
KEEP = Case("update fails, what serves dies", Budget(patches=1, failures=1, kills=1), ready=True, heal_budget=1)
KEEP_RETRY = Case(
    "update fails, what serves dies, retry", Budget(patches=1, failures=1, kills=1, retries=1), ready=True
)
KEEP_CANCEL = Case(
    "update cancelled, what serves dies", Budget(patches=1, cancels=1, kills=1), ready=True, heal_budget=1
)
CROWDED = Case(
    "a delete that fails, among many",
    Budget(deletes=1, failures=1),
    ready=True,
    passivates=True,
    crowded=True,
)
BLIND = Case(
    "it dies, and its owner cannot look",
    Budget(kills=1, blinds=1),
    ready=True,
    looks=True,
    passivates=True,
    remembers=True,
    heal_budget=1,
)
SILENT = Case("the engine falls silent, delete", Budget(patches=1, silences=1, deletes=1), ready=True)
LIE = Case("the engine says that it has succeeded before", Budget(patches=1, lies=1, deletes=1), ready=True)
GIVES_UP = Case("the engine gives up and waits for a person", Budget(patches=1, errors=1), ready=True)
KEEP_MOVE = Case(
    "a move fails, what serves dies where it was",
    Budget(patches=1, failures=1, kills=1),
    ready=True,
    providers={2: "other"},
    heal_budget=1,
)
CROWDED_UPDATE = Case(
    "an update, among many: its owner leaves while it waits",
    Budget(patches=1, crashes=1),
    ready=True,
    passivates=True,
    crowded=True,
)
CROWDED_EMBEDDED = Case(
    "embedded: the owner leaves between two attempts",
    Budget(patches=1, outages=1, crashes=1),
    ready=True,
    embedded=True,
    passivates=True,
    crowded=True,
)
ROLL_BACK = Case(
    "rolled back in an update that only the newer release can read",
    Budget(newers=1, rollbacks=1),
    ready=True,
)
ROLL_BACK_EMBEDDED = Case(
    "embedded: rolled back in such an update, delete",
    Budget(newers=1, rollbacks=1, deletes=1),
    ready=True,
    embedded=True,
)
ROLL_BACK_AT_REST = Case(
    "rolled back, and then looked at", Budget(newers=1, rollbacks=1, owners=1), ready=True, passivates=True
)
POISON = Case(
    "turns fail at an act, and are mended",
    Budget(kills=1, poisons=1),
    ready=True,
    passivates=True,
    heal_budget=1,
    poison=("Promote", "Finish", "MarkUnhealthy", "Heal", "MarkRecovered"),
)
POISON_ELSEWHERE = Case(
    "two clusters: turns fail in one for ever",
    Budget(patches=1, poisons=1),
    ready=True,
    passivates=True,
    poison=("Promote", "Finish"),
    elsewhere=True,
)
FINE = Case("each call: create, delete", Budget(deletes=1), fine=True)
FINE_PORT = Case(
    "each call: fixed port, update fails, crash",
    Budget(patches=1, failures=1, crashes=1),
    ready=True,
    exclusive=True,
    fine=True,
)
FINE_FORCE = Case("each call: forced delete, crash", Budget(forces=1, crashes=1), fine=True)

SHORT = (
    CREATE_DELETE,
    UPDATE,
    RETRY,
    TWO_UPDATES,
    CANCEL,
    FORCE,
    REBIRTH,
    DELETE_FAILS,
    FIXED_PORT,
    MOVE,
    PAUSE,
    SLOW_OWNER,
    HEAL,
    LOOK_CANCEL,
    OUTAGES,
    ZOMBIE,
    CLUSTERS,
    KEEP,
    CROWDED,
    BLIND,
    SILENT,
    LIE,
    GIVES_UP,
    KEEP_MOVE,
    CROWDED_UPDATE,
    CROWDED_EMBEDDED,
    ROLL_BACK,
    ROLL_BACK_EMBEDDED,
    ROLL_BACK_AT_REST,
    POISON,
    POISON_ELSEWHERE,
    FINE,
    FINE_PORT,
    FINE_FORCE,
)

LONG = (
    replace(GIVES_UP, title="long: the engine gives up, delete", budget=Budget(patches=1, errors=1, deletes=1)),
    replace(ROLL_BACK, title="long: rolled back, delete", budget=Budget(newers=1, rollbacks=1, deletes=1)),
    replace(CROWDED_UPDATE, title="long: among many, delete", budget=Budget(patches=1, deletes=1, crashes=1)),
    replace(
        POISON_ELSEWHERE,
        title="long: two clusters, turns fail in one, delete",
        budget=Budget(patches=1, poisons=1, deletes=1),
        poison=("Promote", "Finish", "Stop"),
    ),
    Case(
        "long: turns fail at an act while it is updated",
        Budget(patches=1, kills=1, poisons=1),
        ready=True,
        passivates=True,
        heal_budget=1,
        poison=("Promote", "Finish", "MarkUnhealthy", "Heal", "MarkRecovered"),
    ),
    Case(
        "long: rolled back, what serves dies",
        Budget(newers=1, rollbacks=1, kills=1),
        ready=True,
        passivates=True,
        heal_budget=1,
    ),
    LOOK_UPDATE,
    KEEP_RETRY,
    KEEP_CANCEL,
    Case("long: create, delete, second runner, crash", Budget(deletes=1, seconds=1, crashes=1)),
    Case("long: two updates, one fails, crash", Budget(patches=2, failures=1, crashes=1), ready=True),
    Case("long: the platform answers with errors, twice", Budget(deletes=1, outages=2, crashes=1)),
    Case(
        "long: embedded, zombie owner, update, delete",
        Budget(patches=1, deletes=1, owners=1),
        ready=True,
        embedded=True,
        split=True,
    ),
    Case(
        "long: two clusters, crash",
        Budget(patches=1, owners=1, expiries=1, crashes=1),
        ready=True,
        embedded=True,
        split=True,
        passivates=True,
    ),
    Case("long: deleted in an update, the name again", Budget(patches=1, deletes=1, rebirths=1, seconds=1), ready=True),
    Case("long: deleted, the name again", Budget(deletes=1, rebirths=1, seconds=1)),
    Case("long: a look in flight, slow owner", Budget(patches=1, kills=1), ready=True, looks=True, split=True),
    Case("long: move, crash", Budget(patches=1, failures=1, deletes=1, crashes=1), ready=True, providers={2: "other"}),
    Case("long: each call, second runner", Budget(deletes=1, seconds=1), fine=True),
)
