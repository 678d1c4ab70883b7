"""Each rule is there for something: without it a counterexample is found, or another rule is named that backs it up."""

import pytest

from tests.model.ablations import BACKED, NEEDED, Backed, Needed, without
from tests.model.rules import Rule


@pytest.mark.parametrize("ablation", NEEDED, ids=lambda one: " and ".join(rule.name for rule in one.without))
def test_without_it_something_breaks(ablation: Needed) -> None:
    result = without(ablation)
    assert ablation.breaks in result.broken
    trace = result.broken[ablation.breaks]
    assert trace[-1].startswith("  then:")
    assert len(trace) > 1


@pytest.mark.parametrize("ablation", BACKED, ids=lambda one: " and ".join(rule.name for rule in one.without))
def test_another_rule_backs_it_up(ablation: Backed) -> None:
    result = without(ablation)
    assert not result.broken, ablation.why
    assert result.exhaustive


def test_every_rule_is_tried() -> None:
    assert {rule for ablation in (*NEEDED, *BACKED) for rule in ablation.without} == set(Rule)
