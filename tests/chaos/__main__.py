"""`python -m tests.chaos --runs 200 [--seed N]`: the long fault suite. Prints a line a run and a summary; exit 1 when
an invariant did not hold. Each seed gives its faults and its load. Ctrl-C ends it early, with a summary.

The control plane runs from a copy of this code: a run may change it, and a change of ours meanwhile does not.
"""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.faults import LARGE, SMALL
from tests.chaos.outages import OUTAGES
from tests.chaos.run import run
from tests.e2e.checkout import Checkout
from tests.e2e.installation import Installation, free_port
from tests.engines import build_web_image, running_docker


def main() -> int:
    arguments = argparse.ArgumentParser(description="The long fault suite.")
    arguments.add_argument("--runs", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1000, help="of the first run; the others follow")
    arguments.add_argument("--load-seconds", type=float, default=4)
    given = arguments.parse_args()
    # A shell that starts it in the background has Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home, code = (Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("ll-chaos-", "ll-co-"))
    installation = Installation(home, free_port())
    installation.runs_from(Checkout(code))
    runs = failed = acknowledged = during = 0
    with running_docker(home) as engine:
        image = build_web_image(engine)
        began = time.monotonic()
        try:
            installation.up()
            for seed in range(given.seed, given.seed + given.runs):
                rng = random.Random(seed)
                faults = rng.sample(SMALL, rng.randint(1, 3))
                after = rng.sample(LARGE, 1) if rng.random() < 0.25 else []
                outage = rng.choice(OUTAGES) if rng.random() < 0.5 else None
                load = given.load_seconds
                ordered = run(installation, seed, faults, image=image, load_seconds=load, outage=outage, after=after)
                try:
                    report = asyncio.run(ordered)
                except AssertionError as error:
                    failed += 1
                    print(f"FAILED {error}\n{_evidence(installation, seed)}", flush=True)
                else:
                    acknowledged, during = acknowledged + report.acknowledged, during + report.during
                    print(report, flush=True)
                runs += 1
        except KeyboardInterrupt:
            print("interrupted")
        finally:
            installation.run("down", "--purge", check=False, timeout=600)
    for made in (home, code):
        shutil.rmtree(made, ignore_errors=True)
    print(f"{runs} runs, {failed} failed, {acknowledged} requests acknowledged, {during} of them during faults")
    print(f"{(time.monotonic() - began) / max(runs, 1):.1f} s a run")
    return 1 if failed or not during else 0


def _evidence(installation: Installation, seed: int) -> str:
    """The file of a support bundle: the installation is gone at the end."""
    bundle = Path(tempfile.gettempdir()) / f"{installation.home.name}-seed-{seed}.tar.gz"
    installation.run("support-bundle", str(bundle), check=False, timeout=600)
    return f"seed {seed}: see {bundle}"


if __name__ == "__main__":
    sys.exit(main())
