"""Names to providers, through the entry points of whatever is installed; third parties add theirs without a fork.

A compute provider's class has `build(settings)`; one that depends on something on this machine may also have
`available(settings)`, which decides whether it is enabled where the setting does not say. One that keeps its resources
in memory has `shared_state(settings)`, whose methods are coroutines, and is built from a handle on it, so that all
processes of a cluster see the same.

A workflow provider's class has `build(environment)`, and `available(settings)` where it can be used beside the default
engine once the settings that it needs are given.

A provider's module, and with it its SDK, is imported when the provider is first looked up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from controlplane.errors import ProviderNotEnabled, SettingsError
from controlplane.ports import ComputeProvider, WorkflowEnvironment, WorkflowProvider
from controlplane.settings import Settings

COMPUTE = "landlord.compute_providers"
WORKFLOW = "landlord.workflow_providers"
BY_DEFAULT = ("process", "docker")
"""Compute providers enabled without a setting, each where it is available."""
FALLBACK = "embedded"
"""The workflow provider that is enabled always: deletes whose own engine is not there are handed to it."""

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
        """Those that were looked up, for whoever closes them."""
        return tuple(self._built.values())


class _NoSuchProvider(ProviderNotEnabled, KeyError):
    """Also a KeyError, so that `in` and `get` of a mapping keep their meaning."""


def enabled_names(settings: Settings) -> tuple[str, ...]:
    """The compute providers that this installation runs. Where LANDLORD_COMPUTE_PROVIDERS is unset: BY_DEFAULT, asked
    whether they are available now (up to 2 s for docker): resolve once, at start, and hand the answer on.

    Raises SettingsError: an unknown name, which is answered with the known ones."""
    known = _known(COMPUTE)
    if settings.compute_providers is None:
        return tuple(name for name in BY_DEFAULT if name in known and _available(known[name], settings))
    if not settings.compute_providers:
        raise SettingsError(f"LANDLORD_COMPUTE_PROVIDERS names no provider; known: {', '.join(known)}")
    for name in settings.compute_providers:
        _entry_point(known, name, "LANDLORD_COMPUTE_PROVIDERS")
    return settings.compute_providers


def enabled_compute(settings: Settings, share: Callable[[str], Any] | None = None) -> Enabled[ComputeProvider]:
    """Those of `enabled_names`. Raises SettingsError as it does, and at a look-up what `build` raises.

    `share`: gives a handle on the one `shared_state` of a provider that has such, wherever it lives; without it each
    process has its own."""
    known = _known(COMPUTE)
    return Enabled({name: _compute_factory(known[name], settings, share) for name in enabled_names(settings)})


def shared_state(name: str, settings: Settings) -> Any:
    """A new one, for whoever holds it for all. Raises SettingsError: no such provider."""
    return _load(_entry_point(_known(COMPUTE), name, "LANDLORD_COMPUTE_PROVIDERS")).shared_state(settings)


def import_compute(settings: Settings) -> None:
    """Import the modules of the enabled ones, with their SDKs, before anybody looks one up. Raises SettingsError."""
    known = _known(COMPUTE)
    for name in enabled_names(settings):
        _load(known[name])


def one_node(settings: Settings) -> bool:
    """True where the resources of an enabled one live on one machine. Raises SettingsError."""
    known = _known(COMPUTE)
    return any(bool(_load(known[name]).one_node) for name in enabled_names(settings))


def enabled_workflow_names(settings: Settings) -> tuple[str, ...]:
    """The installation's default engine first; `embedded` always, since deletes fall back to it; then those that are
    set up, so that tenants may choose them.

    Raises SettingsError: an unknown name, which is answered with the known ones."""
    known = _known(WORKFLOW)
    _entry_point(known, settings.workflow_provider, "LANDLORD_WORKFLOW_PROVIDER")
    always = (settings.workflow_provider, *((FALLBACK,) if FALLBACK in known else ()))
    others = (name for name in known if name not in always and _is_set_up(known[name], settings))
    return tuple(dict.fromkeys((*always, *others)))


def enabled_workflow(environment: WorkflowEnvironment) -> Enabled[WorkflowProvider]:
    """Those of `enabled_workflow_names`. Raises SettingsError as it does, and at a look-up what `build` raises."""
    known = _known(WORKFLOW)
    names = enabled_workflow_names(environment.settings)
    return Enabled({name: _workflow_factory(known[name], environment) for name in names})


def _known(group: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def _entry_point(known: Mapping[str, EntryPoint], name: str, setting: str) -> EntryPoint:
    if name not in known:
        raise SettingsError(f"{setting}: there is no provider {name!r}; known: {', '.join(known) or 'none'}")
    return known[name]


def _available(point: EntryPoint, settings: Settings) -> bool:
    asked: Callable[[Settings], bool] | None = getattr(_load(point), "available", None)
    return asked is None or asked(settings)


def _is_set_up(point: EntryPoint, settings: Settings) -> bool:
    """Engine `x` with settings `x_…`, none of which is given, is not even imported: actors start on this path."""
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
    """Raises SettingsError: the provider is registered and its module cannot be imported (a missing dependency)."""
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"provider {point.name!r} ({point.value}) cannot be loaded: {error}") from error
