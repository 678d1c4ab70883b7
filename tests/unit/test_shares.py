"""The shares of the places of live actors: what may take a place beside what holds them."""

import pytest

from actors.supervisor.shares import Claim, Shares

BOTH = ("docker", "process")


def filled(shares: Shares, claim: Claim, held: list[Claim] | None = None) -> list[Claim]:
    """As many of the claim as get in."""
    held = list(held or [])
    while shares.admits(claim, held):
        held.append(claim)
    return held


def test_a_platform_that_holds_all_it_can_leaves_places_for_the_other() -> None:
    shares = Shares(80, BOTH)
    held = filled(shares, Claim("docker", urgent=True), filled(shares, Claim("docker")))
    assert len(held) == 70
    assert len(filled(shares, Claim("process"), held)) == 80


def test_changes_leave_places_for_deletes_and_heals() -> None:
    shares = Shares(80, ["docker"])
    held = filled(shares, Claim("docker"))
    assert len(held) == 70
    assert len(filled(shares, Claim("docker", urgent=True), held)) == 80


def test_two_dead_platforms_leave_places_for_the_third() -> None:
    shares = Shares(80, ("docker", "ecs", "process"))
    held = filled(shares, Claim("docker", urgent=True))
    held = filled(shares, Claim("ecs", urgent=True), held)
    assert shares.admits(Claim("process"), held)


def test_what_one_has_of_its_own_is_not_kept_for_it_again() -> None:
    shares = Shares(16, BOTH)
    held = [Claim("process"), Claim("process"), Claim("docker", urgent=True), Claim("docker", urgent=True)]
    assert len(filled(shares, Claim("docker"), held)) == 16


@pytest.mark.parametrize("ceiling", [1, 2, 7])
def test_a_small_ceiling_is_for_whoever_comes(ceiling: int) -> None:
    assert len(filled(Shares(ceiling, BOTH), Claim("docker"))) == ceiling


def test_a_platform_that_is_no_longer_enabled_gets_in_as_well() -> None:
    assert Shares(16, BOTH).admits(Claim("gone"), [])
