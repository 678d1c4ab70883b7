"""Every state of small worlds is visited, and everything that is promised holds in it (`invariants`)."""

from typing import Any

import pytest

from controlplane.model import Action, StepName
from controlplane.ports import ResourceState
from controlplane.steps.attempts import Verdict
from tests.model.binding import Binding
from tests.model.case import Case
from tests.model.cases import LONG, SHORT
from tests.model.rules import ALL
from tests.model.search import explore
from tests.model.stubs import READABLE


def check(case: Case) -> None:
    result = explore(case)
    told = "\n\n".join("\n  ".join([what, *trace]) for what, trace in result.broken.items())
    assert not result.broken, f"{case.title}\n\n{told}"
    assert result.exhaustive
    assert result.rests > 1, "nothing comes to rest: the case shows nothing"


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.title)
def test_nothing_is_lost_doubled_or_left_behind(case: Case) -> None:
    check(case)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", LONG, ids=lambda case: case.title)
def test_nor_in_larger_worlds(case: Case) -> None:
    check(case)


class TestBinding:
    """The runners of the model are the real code: these are its calls, in its order."""

    @staticmethod
    def calls(work: StepName, action: Action, *answers: Any) -> list[str]:
        """What it calls when its calls are answered so; ends with how it ended, or with the call that is open."""
        binding = Binding(ALL, {}, exclusive=False)
        number, called = binding.begin(binding.learn(0, action, 1, 1), work), []
        for answer in answers:
            op = binding.at(number).op
            assert op is not None
            called.append(op[0])
            number = binding.answered(number, answer)
        end = binding.at(number)
        return [*called, end.op[0] if end.op else str(end.verdict)]

    CONTEXT = (True, False, None, None, False, 0, READABLE)

    def test_apply_is_intent_gate_create_gate_start_gate(self) -> None:
        id = "tenant-acme-provision-1-aaaaaaaa"
        created, running = (("made", id, state) for state in (ResourceState.CREATED, ResourceState.RUNNING))
        answers = (1, self.CONTEXT, True, None, True, "made", created, True, None, True, running, None, None)
        assert self.calls(StepName.APPLY_COMPUTE, Action.PROVISION, *answers) == [
            "step_started",
            "context",
            "intend",
            "observe",
            "gate",
            "create",
            "inspect",
            "gate",
            "start",
            "gate",
            "inspect",
            "placed",
            "step_succeeded",
            Verdict.DONE,
        ]

    def test_what_was_made_after_the_gate_closed_is_undone_once_it_may_go(self) -> None:
        created = ("made", "tenant-acme-provision-1-aaaaaaaa", ResourceState.CREATED)
        answers = (1, self.CONTEXT, True, None, True, "made", created, False, True, None)
        called = self.calls(StepName.APPLY_COMPUTE, Action.PROVISION, *answers)
        assert called[-4:] == ["gate", "removable", "destroy", Verdict.STOPPED]

    def test_a_delete_asks_before_it_destroys(self) -> None:
        id = "tenant-acme-delete-1-aaaaaaaa"
        context = (True, False, None, ((id, "made"),), False, 0, READABLE)
        answers = (1, context, (("made", id, ResourceState.RUNNING),), True, None, None)
        assert self.calls(StepName.DESTROY_COMPUTE, Action.DELETE, *answers)[2:] == [
            "list",
            "gate",
            "destroy",
            "step_succeeded",
            Verdict.DONE,
        ]
