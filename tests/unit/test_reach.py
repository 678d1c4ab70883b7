"""A token's reach: which tenants there are for it."""

import pytest

from controlplane.api.schemas.requests import DEFAULT_TOKEN_SECONDS, TokenCreate
from controlplane.model.reach import EVERYTHING, Reach
from controlplane.persistence.tokens import hash_token, stored_hash


@pytest.mark.parametrize(
    ("prefix", "selector", "included", "said"),
    [
        ("", "", True, "all tenants"),
        ("acme-", "", True, "tenants named acme-…"),
        ("acme-eu-x", "", False, "tenants named acme-eu-x…"),
        ("", "tier=gold", True, "tenants with the labels tier=gold"),
        ("", "tier=gold,env=test", False, "tenants with the labels tier=gold,env=test"),
        ("acme-", "tier in (gold,silver)", True, "tenants named acme-… with the labels tier in (gold,silver)"),
        ("other-", "tier=gold", False, "tenants named other-… with the labels tier=gold"),
        ("", "!tier", False, "tenants with the labels !tier"),
    ],
)
def test_a_tenant_is_within_reach_if_name_and_labels_are(prefix: str, selector: str, included: bool, said: str) -> None:
    reach = Reach.of(prefix, selector)
    assert reach.includes("acme-eu", {"tier": "gold"}) is included
    assert str(reach) == said
    assert reach.everything is (not prefix and not selector)


def test_a_release_that_knows_no_reach_does_not_find_a_narrowed_token() -> None:
    hashed = hash_token("secret")
    assert stored_hash(hashed, EVERYTHING) == hashed
    assert stored_hash(hashed, Reach.of("acme-")) != hashed


@pytest.mark.parametrize(
    ("said", "lasts"),
    [({}, DEFAULT_TOKEN_SECONDS), ({"expires_in_seconds": 60}, 60), ({"expires_in_seconds": "never"}, None)],
)
def test_a_token_lasts_ninety_days_unless_told_otherwise(said: dict[str, int | str], lasts: int | None) -> None:
    assert TokenCreate.model_validate({"name": "ci", "role": "viewer", **said}).lasts == lasts
