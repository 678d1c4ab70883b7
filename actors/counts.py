"""Counters of what live actors do: for our /metrics, and by Ray's own metrics beside Ray's panels.

Labels are words of the code, so they are few. A count begins with its process.
"""

from collections import Counter
from collections.abc import Mapping

from ray.util import metrics


class Counted:
    """Counts words, of which there are few. In Ray's metrics it is `ray_<name>_total`, with the word under `label`."""

    def __init__(self, name: str, described: str, label: str) -> None:
        self._label = label
        self._counted: Counter[str] = Counter()
        self._of_ray = metrics.Counter(name, description=described, tag_keys=(label,))

    def add(self, word: str) -> None:
        self._counted[word] += 1
        self._of_ray.inc(1, tags={self._label: word})

    def read(self) -> Mapping[str, int]:
        return dict(self._counted)
