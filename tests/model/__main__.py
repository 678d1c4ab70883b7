"""`python -m tests.model [long | ablate]`: the table of the cases, or what each rule is for, with a counterexample."""

import sys
from collections.abc import Sequence

from tests.model.ablations import BACKED, NEEDED, without
from tests.model.case import Case
from tests.model.cases import LONG, SHORT
from tests.model.search import explore


def check(cases: Sequence[Case]) -> int:
    bad = 0
    for case in cases:
        result = explore(case)
        bad += bool(result.broken)
        verdict = "ok" if not result.broken else " / ".join(result.broken)
        print(
            f"{case.title:52} states={result.states:<8} exhaustive={result.exhaustive!s:5} {result.seconds:6.1f} s"
            f"  {verdict}",
            flush=True,
        )
        for what, trace in result.broken.items():
            print("\n    ".join([f"  -- {what}", *trace]))
    return bad


def ablate() -> int:
    missed = 0
    for ablation in NEEDED:
        trace = without(ablation).broken.get(ablation.breaks)
        missed += trace is None
        print(f"--- without: {'; '.join(ablation.without)}\n    ({ablation.case.title}) {ablation.breaks}")
        print("\n".join(f"      {line}" for line in trace or ["no counterexample"]), flush=True)
    for backed in BACKED:
        broken = without(backed).broken
        missed += bool(broken)
        print(f"--- without: {'; '.join(backed.without)}\n    ({backed.case.title}) nothing breaks: {backed.why}")
    return missed


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ablate"]:
            sys.exit(1 if ablate() else 0)
        case ["long"]:
            sys.exit(1 if check(LONG) else 0)
        case []:
            sys.exit(1 if check(SHORT) else 0)
        case _:
            sys.exit(__doc__)
