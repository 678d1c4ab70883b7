"""Programs of ours that are started as `python -m <name>`: they stand above this floor, so they are not imported here.

Standard library only: the launcher of workers reads this.
"""

APPLICATION = "serve_app"
RAY = "actors.ray_start"
FORK_SERVER = "actors.forkserver"
PROVIDERS = "providers"
