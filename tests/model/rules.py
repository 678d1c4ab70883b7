"""The rules of the protocol, each of which the model can do without: `test_ablations` shows what for."""

from enum import StrEnum


class Rule(StrEnum):
    GATE_BEFORE = "the gate is asked before each effect"
    GATE_AFTER = "the gate is asked after each effect"
    INTENT_FIRST = "a placement row is written before the effect"
    SWITCH_GUARDED = "only a current execution takes the switch"
    ONLY_SUCCESS = "after the switch an execution only succeeds"
    NOT_STOPPED = "after the switch an execution is not stopped"
    STABLE_REMOVAL = "undo and clean-up ask whether the resource may go"
    STOPPING_FINAL = "stopping never goes back"
    RUN_IN_NAMES = "the run is part of a resource's name"
    TENANT_IN_NAMES = "the tenant's id is part of a resource's name"
    IMMUTABLE_IDS = "stop, start and remove address the immutable id"
    EPOCH = "an observation from before an execution moved is void"
    FENCE = "an owner's writes are fenced"
    ONE_ACTIVE = "at most one execution is active"
    DELETE_SUPERSEDES = "a delete stops what is active"
    DELETE_AGAIN = "a delete that failed is followed by its next run"
    STATUS_WITH_INTENT = "the intent moves the status in its own transaction"
    STEP_ASIDE = "what holds a fixed port is stopped before its successor starts"
    RESTORE = "the serving resource is started again where it does not run"
    LEFTOVERS = "the sweep removes leftovers"
    NOT_SERVING = "what serves is no leftover"
    LEASE_RESPECTED = "another cluster's valid lease is respected"
    KEPT = "what serves is healed, whatever the newest execution did"
    OWN_SNAPSHOT = "a heal makes the serving generation again, not the newest"
    SWITCHED_SUCCEEDS = "an engine's success counts only with the switch"
    ENGINE_NOT_NEEDED = "after the switch an execution ends without its engine"
    OWNER_RETIRES = "an owner that ends an execution without its engine removes what was replaced first"
    WAKE_AT = "who leaves while it waits says when it is to be woken"
    MEMO_ENDS = "a finding that woke a tenant is forgotten in time"
    LEFT_ALONE = "an owner leaves alone what only a newer release can read"
    DELETES_ANYWAY = "a delete needs nothing that only a newer release can read"
    UNREADABLE_WAITS = "steps wait for a spec that only a newer release can read"
    FAILING_LEAVES = "an owner whose turns fail gives the tenant back"
    FAILING_DUE = "a tenant whose owner left because turns failed is due again"
    SECOND_CHECK = "the sweep checks a leftover twice"


ALL = frozenset(Rule)
