"""A copy of this checkout with a Python of its own: its code can change, which is another build, and ours does not."""

import os
import shutil
import sys
import venv
from pathlib import Path

from controlplane.local.build import PARTS

SOURCES = Path(__file__).parents[2]


class Checkout:
    """Sources and a virtual environment in `root`; dependencies are those of the Python that runs the tests."""

    def __init__(self, root: Path) -> None:
        self._code = root / "code"
        self._venv = root / "venv"
        self._code.mkdir(parents=True)
        for part in PARTS:
            source = SOURCES / part
            if source.is_dir():
                shutil.copytree(source, self._code / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, self._code / part)
        venv.create(self._venv, symlinks=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = self._venv / "lib" / version / "site-packages"
        # Ours come first, so that the dependencies' own pointer to the real checkout is never reached.
        theirs = [path for path in sys.path if path.endswith("site-packages")]
        (packages / "checkout.pth").write_text("".join(f"{path}\n" for path in (self._code, *theirs)))
        self.landlord = self._venv / "bin" / "landlord"
        self.landlord.write_text(f"#!{self._venv / 'bin' / 'python'}\nfrom controlplane.cli.main import app\n\napp()\n")
        self.landlord.chmod(0o755)

        self._module = self._code / "controlplane" / "__init__.py"
        self._original = self._module.read_text()

    def as_made(self) -> Path:
        """The directory of its code, as `make .venv` leaves a checkout: `make run` installs nothing more."""
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(SOURCES / name, self._code / name)
        (self._code / ".venv").symlink_to(self._venv)
        (self._venv / "installed").touch()
        return self._code

    def change(self) -> None:
        """The code is another one now, and does the same."""
        self._write(self._module.read_text() + "# another build\n")

    def put_back(self) -> None:
        """The code is again what it was at first."""
        self._write(self._original)

    def _write(self, text: str) -> None:
        """In one step: what runs from here may import it at any moment."""
        new = self._module.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self._module)
