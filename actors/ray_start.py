"""Ray's own command line, with another program instead of the interpreter for the processes that it starts.

`python -m actors.ray_start <launcher> start --head …`. The raylet starts each worker with the value of `sys.executable`
here (`ray._private.services.start_raylet`), and there is no setting for it.
"""

import sys

from ray.scripts.scripts import main

if __name__ == "__main__":
    sys.executable = sys.argv.pop(1)
    sys.exit(main())  # type: ignore[no-untyped-call]
