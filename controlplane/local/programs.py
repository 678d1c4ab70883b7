"""Our programs that are started as `python -m <name>`. They stand above this floor, so they are not imported here.

Standard library only: the launcher of workers reads this.
"""

APPLICATION = "serve_app"
RAY = "actors.ray_start"
FORK_SERVER = "actors.forkserver"
PROVIDERS = "providers"
