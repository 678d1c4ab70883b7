"""What one exploration starts from: a small world, what may happen to it, and the rules that hold in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controlplane.model import Action, ExecutionState, PlacementState, Status, SubState
from controlplane.ports import ResourceState
from tests.model import rules
from tests.model.binding import Binding
from tests.model.rules import Rule
from tests.model.world import Budget, Execution, Owner, Placement, Resource, Tenant, World


class Kind(StrEnum):
    """Whose a move is. Progress may count on ours only, and on luck where it is luck that is asked for."""

    OURS = "ours"
    LUCK = "luck"
    """A workload answers its probe."""
    ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Case:
    """`embedded`: steps run in the owner's process. `ready`: begins with a tenant that is served. `looks`: the owner
    looks at the resource of a resting tenant (else it knows). `split`: an owner may be paused between its decision and
    its write. `fine`: each call of the real code can be interleaved, not only those before which it matters.
    `passivates`: an owner at rest leaves."""

    title: str
    budget: Budget
    embedded: bool = False
    ready: bool = False
    exclusive: bool = False
    looks: bool = False
    split: bool = False
    fine: bool = False
    passivates: bool = False
    remembers: bool = False
    """The supervisor wakes a tenant once for one finding, and remembers that (else it wakes it as long as it is)."""
    crowded: bool = False
    """Others want the place of an owner, which leaves for each wait that the rows can bring back."""
    poison: tuple[str, ...] = ()
    """Acts of owners that may begin to fail each time."""
    elsewhere: bool = False
    """What fails does so for ever, in the first cluster alone. The other one may take over what is free."""
    heal_budget: int = 2
    providers: Mapping[int, str] = field(default_factory=dict)
    """Generation → compute provider; `fake` where nothing is said."""
    rules: frozenset[Rule] = rules.ALL

    def binding(self) -> Binding:
        return Binding(self.rules, self.providers, exclusive=self.exclusive)

    def begin(self, binding: Binding) -> World:
        """Created a moment ago, or served at its first generation."""
        id = binding.learn(0, Action.PROVISION, 1, 1)
        first = Execution(id, 0, Action.PROVISION, 1, 1)
        owners = (Owner(cluster=0, fence=1),)
        if not self.ready:
            return World(Tenant(current=id), (first,), self.budget, owners=owners)
        made = f"{id}#0"
        return World(
            Tenant(status=Status.READY, observed=1, serving=id, current=id),
            (first._replace(state=ExecutionState.SUCCEEDED, engine=SubState.SUCCEEDED.value, done=3),),
            self.budget,
            placements=(Placement(id, PlacementState.PLACED, made),),
            resources=(Resource(made, id, ResourceState.RUNNING, healthy=True),),
            owners=owners,
            made=((id, 1),),
        )
