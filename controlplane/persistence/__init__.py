"""The truth, in Postgres: tables, short transactions, guarded writes. SQLAlchemy Core on asyncpg.

Who writes what is the design, and each writer has its module:

    intents             the API: what a client asks for; `pauses` and `tokens` are the API's too
    owned_tenant        the lease holder, guarded by its fence (`held`): how an execution goes on and ends (`endings`)
    execution_store     runners, guarded by their execution's own state: steps, placements, the switch
    leases              actors: who owns a tenant
    clusters, fleet     the command and the supervisor: clusters and heartbeats
    bootstrap           `landlord up`: migrations, the installation, this start of the head
    idempotency         the API: a key and its answer, in the transaction of the intent

Who reads what:

    snapshot            decisions: the rows of one tenant, of one moment
    fleet, resting      the sweep: which tenants are due, what the rows say of resources that were seen
    tenants, executions, placements, events       answers of the API; the first two also lock and change their rows
    listen              whoever waits for a notification

Below them all: `tables` (imported as a module: `tables.tenants.c.id`), `rows` (from a row to a value of the model, and
back), `expressions` (SQL that several share), `database` (connections), `transaction` (the unit of work).

The first parameter is a promise. `database`: a read or a guarded write of its own, committed when it returns.
`connection`: a part of the caller's transaction. `tx`: that too, and it may write events or take the time of a lock.

Locks are taken in one order: the row of the tenant, rows that hang on it, the event lock, which the commit releases.
"""
