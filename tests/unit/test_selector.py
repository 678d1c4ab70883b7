"""Label selectors, as people type them for kubectl."""

import pytest

from controlplane.model.selector import MAX_REQUIREMENTS, parse_selector

LABELS = {"tier": "gold", "env": "prod", "a.b/c": "1", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("tier=gold", True),
        ("tier==gold", True),
        (" tier = gold , env = prod ", True),
        ("tier=gold,env=test", False),
        ("tier!=silver", True),
        ("tier!=gold", False),
        ("other!=gold", True),
        ("tier in (gold, silver)", True),
        ("tier in (silver)", False),
        ("tier notin (silver,bronze)", True),
        ("tier notin (gold)", False),
        ("other notin (gold)", True),
        ("tier,env", True),
        ("other", False),
        ("!other", True),
        ("!tier", False),
        ("a.b/c=1", True),
        ("empty=", True),
        ("tier=", False),
        ("tier=GOLD", False),
        ("env in (prod),tier!=x,!other", True),
        ("in=x", False),
    ],
)
def test_it_matches_as_kubectl_does(text: str, matches: bool) -> None:
    assert all(requirement.matches(LABELS) for requirement in parse_selector(text)) is matches


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "tier=gold,",
        "=x",
        "tier in",
        "tier in ()x",
        "tier in gold",
        "-x",
        "a b",
        "tier=a=b",
        "tier>5",
        "x(",
        "ü=1",
    ],
)
def test_anything_else_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="key in"):
        parse_selector(text)


def test_it_is_bounded() -> None:
    parse_selector(",".join(["a"] * MAX_REQUIREMENTS))
    with pytest.raises(ValueError, match="20 parts"):
        parse_selector(",".join(["a"] * MAX_REQUIREMENTS), "b")
