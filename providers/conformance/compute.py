"""The contract of every compute provider, as tests; run them against the real platform.

    class TestMine(ComputeConformance, NoExecProbesConformance):
        @pytest_asyncio.fixture
        async def provider(self): ...

Add the other fixtures that `ComputeConformance` names, and the mix-ins of `compute_capabilities` for its capabilities.
Needs pytest and pytest-asyncio.
"""

import asyncio
import pickle
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from controlplane.errors import InvalidConfig, LandlordError, NameConflict, NotCurrent, Retryable, Terminal
from controlplane.model import HealthSpec
from controlplane.ports import (
    ComputeProvider,
    DesiredResource,
    FollowsLogs,
    KeepsBelongings,
    ProvidesLogs,
    ResourceState,
    RunsCommands,
    RunsExecProbes,
)
from providers.conformance.compute_bench import (
    SECRET,
    Crash,
    Effect,
    Gate,
    LoseAnswer,
    created,
    desire,
    ids,
    no_verdict,
    settled,
    unmoved,
)
from providers.conformance.compute_capabilities import (
    BelongingsConformance,
    CommandsConformance,
    ExecProbesConformance,
    FollowsLogsConformance,
    LogsConformance,
    NoExecProbesConformance,
)


@pytest.mark.asyncio
class ComputeConformance:
    """Subclass it, and bring these fixtures:

    - `provider`: a ComputeProvider;
    - `another`: one more on the same platform, as another process would have it;
    - `elsewhere`: one on another platform of its kind;
    - `good_config`: starts and runs;
    - `changed_config`: a good one that differs in a field;
    - `refused_config`: passes `validate` but cannot be started, and holds SECRET as a value of its `env`, if the
      provider knows `env`;
    - `refusal_code`: the platform's own code for that;
    - `invalid_config`: refused by `validate`;
    - `lose_answer`: a LoseAnswer.

    `many`: `list_owned` is tried with this many resources."""

    many: int = 200

    @pytest_asyncio.fixture
    async def installation_id(self, provider: ComputeProvider) -> AsyncIterator[str]:
        """An installation id of this test's own. Its resources are removed at the end."""
        installation_id = f"test-{uuid4()}"
        yield installation_id
        left = await provider.list_owned(installation_id)
        await asyncio.gather(*(provider.destroy(resource.id) for resource in left))
        if isinstance(provider, KeepsBelongings):
            for tenant_id in {resource.origin.tenant_id for resource in left}:
                await provider.forget(installation_id, tenant_id)

    @pytest.fixture
    def desired(self, installation_id: str, good_config: Mapping[str, Any]) -> DesiredResource:
        return desire(installation_id, good_config)

    # --- one resource ---

    async def test_apply_makes_it_run(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        resource = await provider.apply(desired, Gate(True))
        assert resource.origin == desired.origin
        assert resource.name == desired.origin.name
        assert (await settled(provider, resource)).state is ResourceState.RUNNING

    async def test_apply_asks_the_gate_before_and_after_each_effect(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        gate = Gate(True)
        await provider.apply(desired, gate)
        assert gate.asked >= 2

    async def test_repeated_apply_adopts(
        self, provider: ComputeProvider, another: ComputeProvider, desired: DesiredResource
    ) -> None:
        first = await provider.apply(desired, Gate(True))
        assert (await provider.apply(desired, Gate(True))).id == first.id
        assert (await another.apply(desired, Gate(True))).id == first.id
        assert ids(await provider.list_owned(desired.origin.installation_id)) == [first.id]

    async def test_an_apply_that_changes_nothing_disturbs_nothing(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        resource = await settled(provider, await provider.apply(desired, Gate(True)))
        gate = Gate(True)
        await provider.apply(desired, gate)
        after = await provider.inspect(resource.id)
        assert after is not None
        assert unmoved(after) == unmoved(resource)
        assert gate.made_way == 0, "nothing was to be started"

    async def test_way_is_made_before_a_start_and_after_what_may_fail_before(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        gate = Gate(True, False)
        with pytest.raises(NotCurrent):
            await provider.apply(desired, gate)
        assert gate.made_way == 0
        gate = Gate(True)
        await provider.apply(desired, gate)
        assert gate.made_way == 1

    async def test_20_concurrent_applies_make_one(
        self, provider: ComputeProvider, another: ComputeProvider, desired: DesiredResource
    ) -> None:
        applied = await asyncio.gather(
            *(one.apply(desired, Gate(True)) for one in (provider, another) for _ in range(10))
        )
        assert len({resource.id for resource in applied}) == 1
        assert ids(await provider.list_owned(desired.origin.installation_id)) == [applied[0].id]
        assert (await settled(provider, applied[0])).state is ResourceState.RUNNING

    async def test_observe_and_inspect_see_the_same(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        resource = await settled(provider, await provider.apply(desired, Gate(True)))
        observed = await provider.observe(desired.origin)
        assert observed is not None
        assert (observed.id, observed.state, observed.endpoints) == (
            resource.id,
            resource.state,
            resource.endpoints,
        )
        assert len({endpoint.name for endpoint in observed.endpoints}) == len(observed.endpoints), "one name, one port"

    async def test_the_missing_is_none(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        assert await provider.observe(desired.origin) is None
        resource = await provider.apply(desired, Gate(True))
        await provider.destroy(resource.id)
        assert await provider.observe(desired.origin) is None
        assert await provider.inspect(resource.id) is None
        assert await provider.list_owned(desired.origin.installation_id) == []

    async def test_destroy_and_stop_of_the_missing_succeed(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        resource = await provider.apply(desired, Gate(True))
        await asyncio.gather(*(provider.destroy(resource.id) for _ in range(3)))
        await provider.destroy(resource.id)
        await provider.stop(resource.id)
        assert await provider.inspect(resource.id) is None

    async def test_stop_and_start_keep_it(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        resource = await provider.apply(desired, Gate(True))
        for _ in range(2):
            await provider.stop(resource.id)
            stopped = await provider.inspect(resource.id)
            assert stopped is not None
            assert stopped.state is ResourceState.STOPPED
            assert stopped.detail
        for _ in range(2):
            await provider.start(resource.id)
            assert (await settled(provider, resource)).state is ResourceState.RUNNING

    async def test_each_start_is_another_launch(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        """So that a resource which its platform starts again and again is told from one that lasts. A platform that
        cannot tell says nothing."""
        first = await settled(provider, await provider.apply(desired, Gate(True)))
        same = await provider.observe(desired.origin)
        assert same is not None
        assert same.launch == first.launch
        await provider.stop(first.id)
        await provider.start(first.id)
        second = await settled(provider, first)
        assert bool(second.launch) == bool(first.launch)
        assert not first.launch or second.launch != first.launch

    async def test_apply_starts_what_was_stopped(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        resource = await provider.apply(desired, Gate(True))
        await provider.stop(resource.id)
        again = await provider.apply(desired, Gate(True))
        assert again.id == resource.id
        assert (await settled(provider, again)).state is ResourceState.RUNNING

    # --- crashes, and others at work ---

    @pytest.mark.parametrize("passed", [1, 2], ids=["before-start", "after-start"])
    async def test_what_a_crash_left_is_adopted(
        self, provider: ComputeProvider, another: ComputeProvider, desired: DesiredResource, passed: int
    ) -> None:
        with pytest.raises(Crash):
            await provider.apply(desired, Gate(*[True] * passed, Crash()))
        (left,) = await provider.list_owned(desired.origin.installation_id)
        adopted = await another.apply(desired, Gate(True))
        assert adopted.id == left.id
        assert (await settled(another, adopted)).state is ResourceState.RUNNING

    @pytest.mark.parametrize("effect", ["create", "start"])
    async def test_done_and_no_answer_is_adopted(
        self,
        provider: ComputeProvider,
        another: ComputeProvider,
        desired: DesiredResource,
        lose_answer: LoseAnswer,
        effect: Effect,
    ) -> None:
        lose_answer(effect)
        with no_verdict():  # nor an error, if it had looked again
            await provider.apply(desired, Gate(True))
        (left,) = await provider.list_owned(desired.origin.installation_id)
        adopted = await another.apply(desired, Gate(True))
        assert adopted.id == left.id
        assert ids(await provider.list_owned(desired.origin.installation_id)) == [left.id]
        assert (await settled(another, adopted)).state is ResourceState.RUNNING

    async def test_destroyed_and_no_answer_is_success_the_next_time(
        self, provider: ComputeProvider, desired: DesiredResource, lose_answer: LoseAnswer
    ) -> None:
        resource = await provider.apply(desired, Gate(True))
        lose_answer("destroy")
        with no_verdict():
            await provider.destroy(resource.id)
        await provider.destroy(resource.id)
        assert await provider.inspect(resource.id) is None

    async def test_gate_closed_before_create_makes_nothing(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        with pytest.raises(NotCurrent) as refused:
            await provider.apply(desired, Gate(False))
        assert refused.value.made is None
        assert await provider.list_owned(desired.origin.installation_id) == []

    async def test_gate_closed_after_create_tells_what_was_made(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        with pytest.raises(NotCurrent) as refused:
            await provider.apply(desired, Gate(True, False))
        assert refused.value.made is not None
        assert ids(await provider.list_owned(desired.origin.installation_id)) == [refused.value.made]
        await provider.destroy(refused.value.made)
        assert await provider.list_owned(desired.origin.installation_id) == []

    async def test_gate_closed_after_start_tells_what_was_made(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        with pytest.raises(NotCurrent) as refused:
            await provider.apply(desired, Gate(True, True, False))
        assert refused.value.made is not None
        await provider.destroy(refused.value.made)
        assert await provider.list_owned(desired.origin.installation_id) == []

    async def test_gate_closed_for_the_one_who_adopts(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        resource = await provider.apply(desired, Gate(True))
        await provider.stop(resource.id)
        with pytest.raises(NotCurrent) as refused:
            await provider.apply(desired, Gate(False))
        assert refused.value.made is None
        left = await provider.inspect(resource.id)
        assert left is not None
        assert left.state is ResourceState.STOPPED

    async def test_a_foreign_owner_is_refused(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        resource = await provider.apply(desired, Gate(True))
        of_others = replace(desired, origin=replace(desired.origin, installation_id=f"test-{uuid4()}"))
        with pytest.raises(NameConflict):
            await provider.observe(of_others.origin)
        with pytest.raises(NameConflict):
            await provider.apply(of_others, Gate(True))
        assert ids(await provider.list_owned(desired.origin.installation_id)) == [resource.id]
        assert await provider.list_owned(of_others.origin.installation_id) == []

    async def test_a_foreign_tenant_id_is_refused(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        await provider.apply(desired, Gate(True))
        same_id8 = UUID(hex=uuid4().hex[:-8] + desired.origin.tenant_id.hex[-8:])
        with pytest.raises(NameConflict):
            await provider.apply(replace(desired, origin=replace(desired.origin, tenant_id=same_id8)), Gate(True))

    async def test_another_spec_under_the_name_is_not_ours(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        await provider.apply(desired, Gate(True))
        assert await provider.observe(replace(desired.origin, spec_hash="0" * 16)) is None

    # --- several resources ---

    async def test_two_generations_side_by_side(
        self,
        provider: ComputeProvider,
        desired: DesiredResource,
        changed_config: Mapping[str, Any],
    ) -> None:
        older = await provider.apply(desired, Gate(True))
        next_one = desire(
            desired.origin.installation_id, changed_config, tenant_id=desired.origin.tenant_id, generation=2
        )
        if provider.exclusive(desired.config, changed_config):
            await provider.stop(older.id)
        newer = await provider.apply(next_one, Gate(True))
        assert newer.id != older.id
        assert ids(await provider.list_owned(desired.origin.installation_id, desired.origin.tenant_id)) == sorted(
            [older.id, newer.id]
        )
        observed = await provider.observe(desired.origin)
        assert observed is not None
        assert observed.id == older.id
        await provider.destroy(older.id)
        assert (await settled(provider, newer)).state is ResourceState.RUNNING

    async def test_a_higher_generation_is_never_touched(
        self,
        provider: ComputeProvider,
        another: ComputeProvider,
        desired: DesiredResource,
        changed_config: Mapping[str, Any],
    ) -> None:
        """If the runner of a lower generation wakes up late, it acts only on its own resource."""
        installation_id, tenant_id = desired.origin.installation_id, desired.origin.tenant_id
        higher = desire(installation_id, changed_config, tenant_id=tenant_id, generation=2)
        kept = await settled(provider, await provider.apply(higher, Gate(True)))
        with pytest.raises(NotCurrent) as refused:
            await another.apply(desired, Gate(True, False))
        late = str(refused.value.made)
        assert late != kept.id
        if not provider.exclusive(changed_config, desired.config):
            assert (await another.apply(desired, Gate(True))).id == late
        await another.stop(late)
        await another.destroy(late)
        after = await provider.inspect(kept.id)
        assert after is not None
        assert unmoved(after) == unmoved(kept)
        assert ids(await provider.list_owned(installation_id, tenant_id)) == [kept.id]

    async def test_a_second_run_is_another_resource(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        first = await provider.apply(desired, Gate(True))
        if provider.exclusive(desired.config, desired.config):
            await provider.stop(first.id)
        second = await provider.apply(replace(desired, origin=replace(desired.origin, run=2)), Gate(True))
        assert second.id != first.id
        assert second.origin.order > first.origin.order

    async def test_list_owned_is_complete(
        self, provider: ComputeProvider, installation_id: str, good_config: Mapping[str, Any]
    ) -> None:
        wanted = [desire(installation_id, good_config, tenant=f"many-{number}") for number in range(self.many)]
        stranger = desire(f"test-{uuid4()}", good_config)
        made: list[str] = []
        for batch in range(0, self.many, 10):
            made += await asyncio.gather(*(created(provider, one) for one in wanted[batch : batch + 10]))
        of_stranger = await created(provider, stranger)
        try:
            assert ids(await provider.list_owned(installation_id)) == sorted(made)
            one_tenant = await provider.list_owned(installation_id, wanted[-1].origin.tenant_id)
            assert [resource.origin for resource in one_tenant] == [wanted[-1].origin]
        finally:
            await provider.destroy(of_stranger)

    async def test_list_owned_says_what_inspect_says(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        resource = await settled(provider, await provider.apply(desired, Gate(True)))
        (listed,) = await provider.list_owned(desired.origin.installation_id)
        assert (listed.id, listed.name, listed.origin, listed.state, listed.endpoints) == (
            resource.id,
            resource.name,
            resource.origin,
            resource.state,
            resource.endpoints,
        )
        await provider.stop(resource.id)
        (listed,) = await provider.list_owned(desired.origin.installation_id)
        assert listed.state is ResourceState.STOPPED

    # --- configs and errors ---

    async def test_what_cannot_start_is_a_typed_error_without_secrets(
        self, provider: ComputeProvider, installation_id: str, refused_config: Mapping[str, Any], refusal_code: object
    ) -> None:
        desired = desire(installation_id, refused_config)
        provider.validate(desired.config, desired.health)
        with pytest.raises(LandlordError) as refused:
            await provider.apply(desired, Gate(True))
        assert isinstance(refused.value, Retryable | Terminal)
        assert str(refused.value)
        assert refused.value.fields["code"] == refusal_code
        assert SECRET not in repr((str(refused.value), refused.value.fields))
        assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)
        for resource in await provider.list_owned(installation_id):
            assert SECRET not in repr(resource)

    async def test_an_invalid_config_names_its_fields(
        self, provider: ComputeProvider, installation_id: str, invalid_config: Mapping[str, Any]
    ) -> None:
        with pytest.raises(InvalidConfig) as refused:
            provider.validate(invalid_config, HealthSpec())
        assert refused.value.errors
        assert all(error["loc"] and error["message"] for error in refused.value.errors)
        with pytest.raises(InvalidConfig):
            await provider.apply(desire(installation_id, invalid_config), Gate(True))
        assert await provider.list_owned(installation_id) == []

    async def test_unknown_fields_are_refused(self, provider: ComputeProvider, good_config: Mapping[str, Any]) -> None:
        with pytest.raises(InvalidConfig) as refused:
            provider.validate({**good_config, "no_such_field": SECRET}, HealthSpec())
        assert [error["loc"] for error in refused.value.errors] == ["no_such_field"]
        assert SECRET not in str(refused.value)

    async def test_plan_is_a_diff(
        self, provider: ComputeProvider, good_config: Mapping[str, Any], changed_config: Mapping[str, Any]
    ) -> None:
        assert provider.diff(good_config, good_config) == []
        spelled_out = provider.config_model.model_validate(dict(good_config)).model_dump(mode="json")
        assert provider.diff(good_config, spelled_out) == [], "a default that is written out changes nothing"
        changes = provider.diff(good_config, changed_config)
        assert changes
        assert all(change.path and change.before != change.after for change in changes)
        assert provider.diff(None, good_config)

    async def test_the_schema_is_an_object(self, provider: ComputeProvider) -> None:
        schema = provider.config_model.model_json_schema()
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False

    # --- the platform ---

    async def test_identity_is_stable(self, provider: ComputeProvider, another: ComputeProvider) -> None:
        identity = await provider.identity()
        assert identity
        assert await provider.identity() == identity
        assert await another.identity() == identity

    async def test_two_engines_are_told_apart(
        self, provider: ComputeProvider, elsewhere: ComputeProvider, desired: DesiredResource
    ) -> None:
        resource = await provider.apply(desired, Gate(True))
        assert await elsewhere.identity() != await provider.identity()
        assert await elsewhere.inspect(resource.id) is None
        assert await elsewhere.list_owned(desired.origin.installation_id) == []

    async def test_it_says_that_it_is_well(self, provider: ComputeProvider) -> None:
        assert (await provider.health()).healthy

    async def test_each_of_its_capabilities_is_tested(self, provider: ComputeProvider) -> None:
        """The mix-ins are those of `compute_capabilities` for the provider's capabilities, and no others."""
        assert isinstance(self, LogsConformance) == isinstance(provider, ProvidesLogs)
        assert isinstance(self, FollowsLogsConformance) == isinstance(provider, FollowsLogs)
        assert isinstance(self, CommandsConformance) == isinstance(provider, RunsCommands)
        assert isinstance(self, ExecProbesConformance) == isinstance(provider, RunsExecProbes)
        assert isinstance(self, NoExecProbesConformance) != isinstance(provider, RunsExecProbes)
        assert isinstance(self, BelongingsConformance) == isinstance(provider, KeepsBelongings)
