"""Each refusal is followed by what to do next, in commands that there are."""

import re

import pytest

from controlplane.api.problem import CODES
from controlplane.cli.next_steps import NEXT, next_step
from landlord_client.errors import problem_of
from tests.unit.test_docs_commands import resolved, told


def test_each_problem_code_has_one() -> None:
    assert set(NEXT) == set(CODES)


@pytest.mark.parametrize("code", sorted(NEXT))
def test_it_names_commands_that_there_are(code: str) -> None:
    for line in re.findall(r"`(landlord [^`]+)`", NEXT[code]):
        assert all(resolved(words) for words in told(line)), line


def test_a_code_of_a_newer_server_has_none() -> None:
    assert next_step(problem_of({"code": "too_new", "detail": "said"}, 409, None)) is None
