"""Ray's own command line, with another program in the interpreter's place for the processes that it starts.

`python -m actors.ray_start <launcher> start --head …`. The raylet starts each worker with what was `sys.executable`
here (`ray._private.services.start_raylet`), and there is no setting for it.
"""

import sys

from ray.scripts.scripts import main

if __name__ == "__main__":
    sys.executable = sys.argv.pop(1)
    sys.exit(main())  # type: ignore[no-untyped-call]
