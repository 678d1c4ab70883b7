"""Clients that stock generators make from the document: they compile, have usable types, and speak to a replica."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.api_replica import ADMIN, Api, api_on, served
from tests.npm_packages import install

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "openapi.json"
CLIENTS = ROOT / "tests" / "clients"
OAPI_CODEGEN = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"
PYTHON_GENERATOR = "openapi-python-client==0.29.1"
RUNTIME = "github.com/oapi-codegen/runtime@v1.9.0"


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api, served(api) as api.client:
        await api.beat()
        yield api


async def test_typescript(api: Api, tmp_path: Path) -> None:
    packages = install(CLIENTS / "typescript", "typescript")
    for file in ("package.json", "tsconfig.json", "smoke.ts"):
        shutil.copy(CLIENTS / "typescript" / file, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    # Without the flag, this generator says of each member with a default that a request must have it.
    generator = ("node_modules/.bin/openapi-typescript", "--default-non-nullable=false")
    await ran(*generator, str(DOCUMENT), "-o", "schema.d.ts", here=tmp_path)
    await ran("node_modules/.bin/tsc", here=tmp_path)
    told = json.loads(await ran("node", "smoke.js", str(api.client.base_url), ADMIN, here=tmp_path))
    assert told.pop("execution").startswith("tenant-from-typescript-provision-1-")
    assert told == {"tier": "gold", "team": "blue", "code": "tenant_not_found"}


# Not in `make test`: building the generator costs a minute. Debian's Go is too old for it, so who has none has no test.
@pytest.mark.long
@pytest.mark.parametrize("go", [go for go in [shutil.which("go")] if go])
async def test_go(api: Api, tmp_path: Path, go: str) -> None:
    for file in ("go.mod", "main.go"):
        shutil.copy(CLIENTS / "go" / file, tmp_path)
    (tmp_path / "landlord").mkdir()
    await ran(go, "install", OAPI_CODEGEN, here=tmp_path, GOBIN=str(tmp_path / "bin"))
    made = await ran(
        "bin/oapi-codegen", "-generate", "types,client", "-package", "landlord", str(DOCUMENT), here=tmp_path
    )
    (tmp_path / "landlord" / "client.go").write_text(made)
    await ran(go, "get", RUNTIME, here=tmp_path)
    await ran(go, "mod", "tidy", here=tmp_path)
    told = json.loads(await ran(go, "run", ".", str(api.client.base_url).rstrip("/"), ADMIN, here=tmp_path))
    assert told.pop("execution").startswith("tenant-from-go-provision-1-")
    assert told == {"tier": "gold", "code": "tenant_not_found"}


# Not in `make test`, like the next one: each takes its generator from a registry.
@pytest.mark.long
async def test_python(api: Api, tmp_path: Path) -> None:
    await ran(sys.executable, "-m", "venv", "venv", here=tmp_path)
    await ran("venv/bin/pip", "install", "--quiet", PYTHON_GENERATOR, here=tmp_path)
    made = ("--meta", "none", "--output-path", "landlord_generated")
    await ran("venv/bin/openapi-python-client", "generate", "--path", str(DOCUMENT), *made, here=tmp_path)
    shutil.copy(CLIENTS / "python" / "smoke.py", tmp_path)
    checked = ("--strict", "--follow-imports=silent", "--python-executable", "venv/bin/python", "smoke.py")
    await ran(sys.executable, "-m", "mypy", *checked, here=tmp_path)
    url = str(api.client.base_url).rstrip("/")
    told = json.loads(await ran("venv/bin/python", "smoke.py", url, ADMIN, here=tmp_path))
    assert told.pop("execution").startswith("tenant-from-python-provision-1-")
    assert told == {"tier": "gold", "team": "blue", "code": "tenant_not_found", "deleted": "tenant_not_found"}


# Who has no Maven has no test, as with Go.
@pytest.mark.long
@pytest.mark.parametrize("maven", [maven for maven in [shutil.which("mvn")] if maven])
async def test_java(api: Api, tmp_path: Path, maven: str) -> None:
    shutil.copy(CLIENTS / "java" / "pom.xml", tmp_path)
    shutil.copy(DOCUMENT, tmp_path)
    (tmp_path / "src" / "main" / "java").mkdir(parents=True)
    shutil.copy(CLIENTS / "java" / "Smoke.java", tmp_path / "src" / "main" / "java")
    url = str(api.client.base_url).rstrip("/")
    said = await ran(maven, "-q", "-B", "compile", "exec:java", f"-Dexec.args={url} {ADMIN}", here=tmp_path)
    told = json.loads(said[said.index('{"execution"') :].splitlines()[0])
    assert told.pop("execution").startswith("tenant-from-java-provision-1-")
    assert told == {"tier": "gold", "labels": "{team=blue}", "code": 404}


async def ran(*command: str, here: Path, **environ: Any) -> str:
    """What the command printed. It ends well within four minutes, or the test fails with its words."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=here,
        env={**os.environ, **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(240):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, f"{' '.join(command)}:\n{out.decode()}\n{err.decode()}"
    return out.decode()
