"""The truth, in Postgres: tables, short transactions, guarded writes. SQLAlchemy Core on asyncpg."""
