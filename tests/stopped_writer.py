"""A process that stands still between its last write and its commit: it holds the lock that all writers take turns
with."""

STOPPED = """
import asyncio, os, signal, sys
from controlplane.model import EventType
from controlplane.persistence.database import open_database
from controlplane.persistence.transaction import transaction

async def main():
    async with transaction(open_database(sys.argv[1], pool=1), actor="stopped") as tx:
        tx.record(EventType.ORPHAN_FOUND, message="never told")
        await tx.flush()
        os.kill(os.getpid(), signal.SIGSTOP)

asyncio.run(main())
"""
"""A program. Its argument is the URL of the database. Once it is continued, its commit fails and it ends."""
