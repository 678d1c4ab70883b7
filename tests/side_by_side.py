"""Which tests may run beside each other, as a pytest plugin for `-n` (pytest-xdist): what shares the one Docker Engine
and the session's installation stays in one process and in order, everything else is dealt out by file."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SHARED = ("tests/chaos/", "tests/contract/docker/", "tests/e2e/")
"""Folders; xdist's own groups (`--dist loadgroup`) do not work with pytest 9.2."""

HOMES_OF_ITS_OWN = "tests/e2e/test_installation.py"
OF_THE_WHOLE_MACHINE = {"docker_engine", "installation"}


def _scope(nodeid: str) -> str:
    """One for all that is shared, one for each other file."""
    file = nodeid.partition("::")[0]
    return "shared" if file.startswith(SHARED) and file != HOMES_OF_ITS_OWN else file


class _ByWhatIsShared(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByWhatIsShared(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    shared = OF_THE_WHOLE_MACHINE.intersection(getattr(item, "fixturenames", ()))
    if shared and _scope(item.nodeid) != "shared":
        pytest.fail(f"it uses {', '.join(sorted(shared))}: its place is in {' or '.join(SHARED)}", pytrace=False)
