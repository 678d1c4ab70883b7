"""Which tests may run beside each other, as a pytest plugin for `-n` (pytest-xdist): what shares the one Docker Engine
and the session's installation stays in one process and in order, everything else is dealt out by file."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SHARED = ("tests/chaos/", "tests/contract/docker/", "tests/e2e/")
HOMES_OF_ITS_OWN = "tests/e2e/test_installation.py"


class ByWhatIsShared(LoadScopeScheduling):
    """One scope for all that is shared, one for each other file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "shared" if file.startswith(SHARED) and file != HOMES_OF_ITS_OWN else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return ByWhatIsShared(config, log)
