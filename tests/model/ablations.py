"""What each rule is for: the model without it, and what then breaks. Or nothing breaks, and why."""

from dataclasses import replace
from typing import NamedTuple

from tests.model import cases, rules
from tests.model.case import Case
from tests.model.rules import Rule
from tests.model.search import WEDGED, Result, explore
from tests.model.world import Budget

PLAIN = Case("create, delete", Budget(deletes=1))

LOST = "the serving resource was removed"
LEFT = "deleted, and a resource is left"


class Needed(NamedTuple):
    """Without these rules `case` shows that `breaks` does not hold any more."""

    without: tuple[Rule, ...]
    case: Case
    breaks: str


class Backed(NamedTuple):
    """Without this rule nothing breaks in `case`, because of `why`."""

    without: tuple[Rule, ...]
    case: Case
    why: str


NEEDED = (
    Needed((Rule.GATE_AFTER, Rule.LEFTOVERS), PLAIN, LEFT),
    Needed((Rule.SWITCH_GUARDED,), cases.UPDATE, LOST),
    Needed((Rule.ONLY_SUCCESS,), cases.SLOW_OWNER, "what took the switch did not succeed"),
    Needed((Rule.STABLE_REMOVAL,), cases.FORCE, LOST),
    Needed((Rule.STOPPING_FINAL,), cases.UPDATE, LOST),
    Needed((Rule.RUN_IN_NAMES,), cases.HEAL, WEDGED),
    Needed((Rule.TENANT_IN_NAMES,), cases.REBIRTH, "it failed, and nothing was wrong"),
    Needed((Rule.IMMUTABLE_IDS, Rule.RUN_IN_NAMES), cases.RETRY, LOST),
    Needed((Rule.EPOCH,), replace(cases.LOOK_UPDATE, split=True), "it rests while it is updating"),
    Needed((Rule.FENCE,), cases.ZOMBIE, "a zombie wrote rows"),
    Needed((Rule.DELETE_SUPERSEDES,), cases.CANCEL, "it rests while it is deleting"),
    Needed((Rule.DELETE_AGAIN,), cases.DELETE_FAILS, "it rests while it is deleting"),
    Needed((Rule.STATUS_WITH_INTENT,), cases.RETRY, "ready, and not at the newest generation"),
    Needed((Rule.STEP_ASIDE,), cases.FIXED_PORT, WEDGED),
    Needed((Rule.RESTORE,), cases.FIXED_PORT, "what served before an update failed does not run"),
    Needed((Rule.LEFTOVERS,), cases.FORCE, LEFT),
    Needed((Rule.NOT_SERVING,), cases.UPDATE, LOST),
    Needed((Rule.WAKE_AT,), cases.CROWDED, "it rests while it is deleting"),
    Needed((Rule.MEMO_ENDS,), cases.BLIND, "ready, and it does not run"),
    Needed((Rule.KEPT,), cases.KEEP, "what served before an update failed does not run"),
    Needed((Rule.OWN_SNAPSHOT,), cases.KEEP, "a heal is of another generation than what serves"),
    Needed((Rule.SWITCHED_SUCCEEDS,), cases.LIE, "ready, and not at the newest generation"),
    Needed((Rule.ENGINE_NOT_NEEDED,), cases.SILENT, WEDGED),
    Needed((Rule.LEFT_ALONE,), cases.ROLL_BACK, "an older release acted on what it cannot read"),
    Needed((Rule.DELETES_ANYWAY,), cases.ROLL_BACK_EMBEDDED, WEDGED),
    Needed((Rule.UNREADABLE_WAITS,), cases.ROLL_BACK, "what has never answered its probe took the switch"),
    Needed((Rule.FAILING_LEAVES,), cases.POISON_ELSEWHERE, WEDGED),
    Needed((Rule.FAILING_DUE,), cases.ROLL_BACK_AT_REST, "it rests, and says that its turns fail"),
    Needed((Rule.OWNER_RETIRES,), cases.SILENT, "ready, and what was replaced is there"),
)

BACKED = (
    Backed((Rule.GATE_BEFORE, Rule.LEFTOVERS), PLAIN, "the gate after an effect undoes what should not have been made"),
    Backed((Rule.GATE_BEFORE, Rule.GATE_AFTER), PLAIN, "the sweep removes what should not have been made"),
    Backed((Rule.INTENT_FIRST,), PLAIN, "the sweep finds by label what no placement names"),
    Backed((Rule.NOT_STOPPED,), cases.SLOW_OWNER, "stopped or not, after the switch it succeeds"),
    Backed((Rule.IMMUTABLE_IDS,), cases.RETRY, "a name is never used twice"),
    Backed((Rule.ONE_ACTIVE,), cases.ZOMBIE, "only who holds the fence promotes, and only when nothing is active"),
    Backed((Rule.LEASE_RESPECTED,), cases.ZOMBIE, "the fence stops the owner that was robbed"),
    Backed((Rule.SECOND_CHECK,), cases.FORCE, "a leftover stays one"),
)


def without(ablation: Needed | Backed) -> Result:
    case = replace(ablation.case, rules=rules.ALL.difference(ablation.without))
    return explore(case, until=ablation.breaks if isinstance(ablation, Needed) else "")
