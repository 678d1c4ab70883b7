"""Names to providers, through the entry points of the installed packages; third parties add theirs without a fork.

A compute provider's class has `build(settings)`. If it depends on something on this machine, it may also have
`available(settings)`, which decides whether it is enabled when the setting is unset. If it keeps its resources in
memory, it has `shared_state(settings)`, whose methods are coroutines, and is built from a handle on that state, so that
all processes of a cluster see the same.

A workflow provider's class has `build(environment)`. If it can be used in addition to the default engine once its
settings are given, it has `available(settings)`. A provider's module, and with it its SDK, is imported when the
provider is first looked up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from controlplane.errors import ProviderNotEnabled, SettingsError
from controlplane.ports import ComputeProvider, RunsInOwner, WorkflowEnvironment, WorkflowProvider
from controlplane.settings import Settings

COMPUTE = "landlord.compute_providers"
WORKFLOW = "landlord.workflow_providers"
BY_DEFAULT = ("process", "docker")
"""Compute providers enabled without a setting, each if it is available."""
NONE_AVAILABLE = (
    "LANDLORD_COMPUTE_PROVIDERS: none is available by default: no Docker Engine answers, and `process` needs root, or "
    "LANDLORD_PROCESS_UNSAFE=true, which lets tenants' commands run as you, with all your rights"
)
FALLBACK = "embedded"
"""The workflow provider that is always enabled. If a delete's own engine is gone, the delete is handed to this one."""

Provider = TypeVar("Provider")


class Enabled(Mapping[str, Provider], Generic[Provider]):
    """The enabled providers, each built at its first look-up. Looking up another raises ProviderNotEnabled."""

    def __init__(self, factories: Mapping[str, Callable[[], Provider]]) -> None:
        self._factories = dict(factories)
        self._built: dict[str, Provider] = {}

    def __getitem__(self, name: str) -> Provider:
        if name not in self._factories:
            enabled = list(self._factories)
            raise _NoSuchProvider(
                f"provider {name!r} is not enabled here; enabled: {', '.join(enabled)}", enabled=enabled, provider=name
            )
        if name not in self._built:
            self._built[name] = self._factories[name]()
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)

    def __len__(self) -> int:
        return len(self._factories)

    @property
    def built(self) -> Sequence[Provider]:
        """The providers that were looked up; their owner closes them."""
        return tuple(self._built.values())


class _NoSuchProvider(ProviderNotEnabled, KeyError):
    """Also a KeyError, so that `in` and `get` of a mapping keep their meaning."""


def enabled_names(settings: Settings) -> tuple[str, ...]:
    """The compute providers that this installation runs. If LANDLORD_COMPUTE_PROVIDERS is unset: those of BY_DEFAULT
    that are available now (asking takes up to 2 s for docker). Resolve them once, at start, and pass the answer on.

    Raises SettingsError for an unknown name (the message lists the known ones), and if none is available."""
    known = _known(COMPUTE)
    if settings.compute_providers is None:
        found = tuple(name for name in BY_DEFAULT if name in known and _available(known[name], settings))
        if not found:
            raise SettingsError(NONE_AVAILABLE)
        return found
    if not settings.compute_providers:
        raise SettingsError(f"LANDLORD_COMPUTE_PROVIDERS names no provider; known: {', '.join(known)}")
    for name in settings.compute_providers:
        _entry_point(known, name, "LANDLORD_COMPUTE_PROVIDERS")
    return settings.compute_providers


def enabled_compute(settings: Settings, share: Callable[[str], Any] | None = None) -> Enabled[ComputeProvider]:
    """The providers of `enabled_names`. Raises SettingsError as that does, and at a look-up the errors of `build`.

    `share`: gives a handle on the one `shared_state` of a provider that has one, wherever it lives. Without it each
    process has its own."""
    known = _known(COMPUTE)
    return Enabled({name: _compute_factory(known[name], settings, share) for name in enabled_names(settings)})


def shared_state(name: str, settings: Settings) -> Any:
    """A new state, for the process that holds it for all. Raises SettingsError if there is no such provider."""
    return _load(_entry_point(_known(COMPUTE), name, "LANDLORD_COMPUTE_PROVIDERS")).shared_state(settings)


def import_enabled(settings: Settings) -> None:
    """Import the modules of the enabled providers, with their SDKs, before the first look-up. Raises SettingsError."""
    for group, names in ((COMPUTE, enabled_names(settings)), (WORKFLOW, enabled_workflow_names(settings))):
        for name in names:
            _load(_known(group)[name])


def one_node(settings: Settings) -> bool:
    """True if the resources of an enabled provider live on one machine. Raises SettingsError."""
    known = _known(COMPUTE)
    return any(bool(_load(known[name]).one_node) for name in enabled_names(settings))


def enabled_workflow_names(settings: Settings) -> tuple[str, ...]:
    """The installation's default engine comes first. `embedded` is always included, since deletes fall back to it. Then
    come the engines that are set up, so that tenants may choose them.

    Raises SettingsError for an unknown name; the message lists the known ones."""
    known = _known(WORKFLOW)
    _entry_point(known, settings.workflow_provider, "LANDLORD_WORKFLOW_PROVIDER")
    always = (settings.workflow_provider, *((FALLBACK,) if FALLBACK in known else ()))
    others = (name for name in known if name not in always and _is_set_up(known[name], settings))
    return tuple(dict.fromkeys((*always, *others)))


def in_owner(settings: Settings) -> frozenset[str]:
    """Those of `enabled_workflow_names` that work in the tenant's own actor (`ports.RunsInOwner`). Raises
    SettingsError."""
    known = _known(WORKFLOW)
    return frozenset(name for name in enabled_workflow_names(settings) if issubclass(_load(known[name]), RunsInOwner))


def enabled_workflow(environment: WorkflowEnvironment) -> Enabled[WorkflowProvider]:
    """The providers of `enabled_workflow_names`. Raises SettingsError as that does, and at a look-up the errors of
    `build`."""
    known = _known(WORKFLOW)
    names = enabled_workflow_names(environment.settings)
    return Enabled({name: _workflow_factory(known[name], environment) for name in names})


@cache
def _known(group: str) -> Mapping[str, EntryPoint]:
    """Read once in a process: it is a file of each package that is installed."""
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def _entry_point(known: Mapping[str, EntryPoint], name: str, setting: str) -> EntryPoint:
    if name not in known:
        raise SettingsError(f"{setting}: there is no provider {name!r}; known: {', '.join(known) or 'none'}")
    return known[name]


def _available(point: EntryPoint, settings: Settings) -> bool:
    asked: Callable[[Settings], bool] | None = getattr(_load(point), "available", None)
    return asked is None or asked(settings)


def _is_set_up(point: EntryPoint, settings: Settings) -> bool:
    """If none of the settings `x_…` is given, engine `x` is not even imported: actors start on this path."""
    own = {name: field for name, field in Settings.model_fields.items() if name.startswith(f"{point.name}_")}
    if own and all(getattr(settings, name) == field.default for name, field in own.items()):
        return False
    asked: Callable[[Settings], bool] | None = getattr(_load(point), "available", None)
    return asked is not None and asked(settings)


def _compute_factory(
    point: EntryPoint, settings: Settings, share: Callable[[str], Any] | None
) -> Callable[[], ComputeProvider]:
    def build() -> ComputeProvider:
        provider = _load(point)
        if share is not None and hasattr(provider, "shared_state"):
            return cast(ComputeProvider, provider(share(point.name)))
        return cast(ComputeProvider, provider.build(settings))

    return build


def _workflow_factory(point: EntryPoint, environment: WorkflowEnvironment) -> Callable[[], WorkflowProvider]:
    return lambda: cast(WorkflowProvider, _load(point).build(environment))


def _load(point: EntryPoint) -> Any:
    """Raises SettingsError if a registered provider's module cannot be imported (a missing dependency)."""
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"provider {point.name!r} ({point.value}) cannot be loaded: {error}") from error
