"""The peer of reads: what a Python service could do at best. FastAPI and asyncpg under uvicorn, as many processes as
there are replicas, one SELECT of one row by its name. No token, no log, no reach, no secrets, no outage in mind.

Run by `benchmarks.reads`: `uvicorn benchmarks.plain:app`, with PLAIN_DATABASE_URL.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI, Response
from pydantic_core import to_json

_ONE = "SELECT * FROM tenants WHERE name = $1 AND deleted_at IS NULL"
_state: dict[str, Any] = {}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["PLAIN_DATABASE_URL"], min_size=4, max_size=4) as pool:
        _state["pool"] = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/v1/tenants/{name}")
async def one(name: str) -> Response:
    row = await _state["pool"].fetchrow(_ONE, name)
    return Response(to_json(dict(row)), media_type="application/json")
