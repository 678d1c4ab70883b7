"""What a compose file may refer to: other files, and variables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import StringIO

from dotenv.parser import parse_stream

from controlplane.cli.compose.variables import fill


@dataclass(frozen=True)
class Source:
    """`read`: the text of a file, by its path as the compose file writes it; raises OSError. `environ`: the variables
    for `${NAME}`. `unset`: those that were asked for and are not there."""

    read: Callable[[str], str]
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    unset: set[str] = field(default_factory=set)

    def fill(self, text: str, key: str) -> str:
        """Raises ComposeError."""
        return fill(text, self.environ, self.unset, key)

    def variables(self, text: str, key: str) -> dict[str, str | None]:
        """The lines of an env file, as `env_file` and `.env` have them. None: a name without a value."""
        found: dict[str, str | None] = {}
        for line in parse_stream(StringIO(text)):
            if line.key is None:
                continue
            literal = line.original.string.partition("=")[2].lstrip().startswith("'")
            known = {name: value for name, value in found.items() if value is not None}
            value = line.value
            if value is not None and not literal and "$" in value:
                value = fill(value, {**known, **self.environ}, self.unset, key)
            found[line.key] = value
        return found
