"""The database connections of one replica, for whoever adds up all that the control plane needs."""

POOL = 10
"""Those of requests."""
CONNECTIONS = POOL + 1
"""The event feed keeps one more, to listen."""
