"""What people bring along, and what they get for it: `python -m tests.having` prints the page, out of `having.yaml`."""

from pathlib import Path

import yaml

INTRODUCTION = """# What you may have, and what you get

What people who run systems of this kind bring along, and what it comes to here. Each line names the test that shows it;
the page is made from that list (`python -m tests.having`).
"""
NOT_TRIED = """## What no test has tried

- The systemd unit under a systemd that boots a machine: the suite's machines have none. `systemd-analyze verify` reads
  it, and the command that it runs is tested, with the messages that it sends to systemd.
- A Docker Engine with GPUs, and one of another release on the same data directory.
- Postgres 14, 16 and 17, and hosted services: their URLs are tried, on Debian's 15 and the embedded 18.
- AWS itself: an emulator answers instead.
"""
HAVING: dict[str, list[dict[str, str]]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
"""Title → its lines: what you `have`, what you `get`, and the `test`."""


def as_markdown() -> str:
    parts = [INTRODUCTION]
    for title, lines in HAVING.items():
        rows = "\n".join(f"| {line['have']} | {line['get']} | `{line['test']}` |" for line in lines)
        parts.append(f"## {title}\n\n| you have | you get | shown by |\n|---|---|---|\n{rows}\n")
    return "\n".join([*parts, NOT_TRIED])


if __name__ == "__main__":
    print(as_markdown(), end="")
