"""The truth, in Postgres: tables, short transactions, guarded writes. SQLAlchemy Core on asyncpg.

Each writer has its module; this split is the design:

    intents             the API: a client's intent; `pauses` and `tokens` belong to the API too
    owned_tenant        the lease holder, guarded by its fence (`held`): progress and end of an execution (`endings`)
    execution_store     runners, guarded by their execution's own state: steps, placements, the switch
    leases              actors: the owner of a tenant
    clusters, fleet     the command and the supervisor: clusters and heartbeats
    bootstrap           `landlord up`: migrations, the installation, this start of the head
    running_role        `landlord up`: the grants of the role that runs, which only adds to the trail
    holdings            the command: what a backup says of its rows
    compatibility       which releases can read the rows: what a roll-back is judged by
    retention           the supervisor: old rows are removed
    totals, gauges      the supervisor: numbers for /metrics; the API reads them
    idempotency         the API: a key and its answer, in the transaction of the intent
    quotas              the API: how many tenants there may be; triggers count them

Each reader has its module, too:

    snapshot            decisions: the rows of one tenant, from one moment
    fleet, resting      the sweep: tenants that are due, and facts about observed resources
    slowest             operators, through the supervisor: the executions that took longest
    drains              the API and the supervisor: nodes that are emptied
    nodes               the API: the machines of the clusters; whoever queues an execution: the choice of its node
    chain               whether the trail is as it was written; `events` moves its anchor
    tenants, executions, placements, events       answers of the API; the first two also lock and change their rows
    lookups             reads that the API and owners ask often
    batched             one of them for many requests of the API at once
    listen              waits for notifications

Below them all: `tables` (imported as a module: `tables.tenants.c.id`), `rows` (from a row to a value of the model, and
back), `expressions` (SQL that several share), `prepared` (statements compiled when they are imported), `driver` (which
executes those), `guarded` (a transaction in one statement), `drafts` (the same for an owner, on the rows that it has
read), `reached` (what a token reaches), `paused` (who is), `database` (the pool), `connector` (connections), `address`
(the URL), `discretion` (what errors may say), `outage` (errors that pass), `columns` (how text is written), `pages`
(bounded by bytes), `event_data` (bounded), `transaction` (the unit of work).

The first parameter is a promise. `database`: a read or a guarded write of its own, committed when it returns.
`connection`: a part of the caller's transaction. `tx`: that too, and it may write events or take the time of a lock.

Locks are taken in one order: the row of the tenant, rows that hang on it, the counts of tenants, the event lock, which
the commit releases.
"""
