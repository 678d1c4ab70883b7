"""The smallest patch from a tenant to a document."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.api.merge_patch import merge
from controlplane.client.apply import patch_to, surplus, wanted
from landlord_client import Tenant

SPEC = {"compute": {"provider": "docker", "config": {"image": "web:1", "env": {"A": "1", "B": "2"}}}, "heal": "restart"}
TENANT: Any = {"id": "i", "name": "acme", "version": 3, "status": "ready", "spec": SPEC, "labels": {"a": "1", "b": "2"}}


@pytest.mark.parametrize(
    ("document", "patch"),
    [
        ({"name": "acme", "spec": SPEC}, {}),
        ({"name": "acme"}, {}),
        ({"labels": {"a": "1", "b": "2"}}, {}),
        ({"labels": {"a": "9"}}, {"labels": {"a": "9", "b": None}}),
        ({"labels": {}}, {"labels": {"a": None, "b": None}}),
        ({"annotations": {"x": "y"}}, {"annotations": {"x": "y"}}),
        ({"spec": {"compute": SPEC["compute"]}}, {"spec": {"heal": None}}),
        (
            {
                "spec": {
                    "compute": {"provider": "docker", "config": {"image": "web:2", "env": {"A": "1"}}},
                    "heal": "restart",
                }
            },
            {"spec": {"compute": {"config": {"image": "web:2", "env": {"B": None}}}}},
        ),
        ({"spec": {**SPEC, "heal": True}}, {"spec": {"heal": True}}),
    ],
)
def test_what_a_document_leaves_out_of_a_part_goes(document: dict[str, Any], patch: dict[str, Any]) -> None:
    assert patch_to(TENANT, document) == patch


leaf = st.one_of(st.booleans(), st.integers(0, 2), st.sampled_from(["x", "y"]), st.lists(st.integers(0, 1), max_size=2))
tree = st.recursive(leaf, lambda children: st.dictionaries(st.sampled_from("abc"), children, max_size=3), max_leaves=8)
trees = st.dictionaries(st.sampled_from("abc"), tree, max_size=3)


@given(before=trees, after=trees)
def test_the_patched_spec_is_the_documents(before: dict[str, Any], after: dict[str, Any]) -> None:
    tenant: Any = {**TENANT, "spec": before}
    patch = patch_to(tenant, {"spec": after})
    patched = merge(before, patch["spec"]) if patch else before
    assert repr(sorted_deep(patched)) == repr(sorted_deep(after))


def sorted_deep(value: Any) -> Any:
    """`repr` tells True from 1."""
    return {key: sorted_deep(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


def test_a_tenant_as_it_was_shown_can_be_applied() -> None:
    assert wanted(TENANT) == {"name": "acme", "spec": SPEC, "labels": {"a": "1", "b": "2"}}
    assert wanted({"name": "acme", "spek": {}}) == {"name": "acme", "spek": {}}


def test_surplus_is_what_no_document_names() -> None:
    named = {"acme": "ready", "b": "ready", "c": "deleting"}
    there = [Tenant.model_validate({**TENANT, "name": name, "status": status}) for name, status in named.items()]
    assert [tenant.name for tenant in surplus(there, [{"name": "acme"}])] == ["b"]
