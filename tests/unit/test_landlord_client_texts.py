"""The examples in the texts of the client and on its page run, and show what they say."""

import doctest
import pkgutil
from importlib import import_module
from pathlib import Path

import httpx
import pytest

import landlord_client
from landlord_client import Client, LandlordClientError
from tests.pages import DOCS, ROOT, section
from tests.unit.pretend_server import PretendServer

MODULES = [name for _, name, _ in pkgutil.iter_modules(landlord_client.__path__)]


def connected() -> Client:
    transport = httpx.MockTransport(PretendServer())
    return Client("https://landlord.example", "token", transport=transport, sleep=lambda _: None)


def run(test: doctest.DocTest) -> int:
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=told.append)
    assert runner.failures == 0, "".join(told)
    return runner.tries


def test_the_examples_of_the_operations() -> None:
    """In the order of the file, with one client: they are one story."""
    ran = 0
    shown = {"client": connected()}
    for name in ("", *(f".{module}" for module in ("tenants", "history", "errors", "blocking", "awaiting"))):
        module = import_module(f"landlord_client{name}")
        tests = doctest.DocTestFinder().find(module, globs=shown)
        ran += sum(run(test) for test in sorted(tests, key=lambda test: test.lineno or 0))
    assert ran > 15


def test_no_module_has_an_example_that_is_not_run() -> None:
    folder = Path(landlord_client.__path__[0])
    have = {path.stem for path in folder.glob("*.py") if ">>>" in path.read_text()}
    assert have == {"__init__", "tenants", "history", "errors", "blocking", "awaiting"}
    assert have - {"__init__"} <= set(MODULES)


def test_the_examples_of_the_page() -> None:
    page = DOCS / "python.md"
    test = doctest.DocTestParser().get_doctest(
        page.read_text().replace("```", ""), {"client": connected()}, page.name, str(page), 0
    )
    assert run(test) > 10


def test_the_page_names_every_error_that_is_no_problem() -> None:
    told = section(DOCS / "python.md", "## Errors")
    plain = [kind.__name__ for kind in LandlordClientError.__subclasses__()]
    assert [name for name in plain if f"`{name}`" not in told] == []


@pytest.mark.parametrize("text", ["README.md"])
def test_the_readme_of_the_distribution_names_what_exists(text: str) -> None:
    page = (ROOT / "landlord_client" / text).read_text()
    for line in page.splitlines():
        if line.startswith("from landlord_client import "):
            names = line.removeprefix("from landlord_client import ").split(", ")
            assert [name for name in names if not hasattr(landlord_client, name)] == []
