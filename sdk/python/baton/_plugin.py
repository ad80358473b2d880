"""From a module with functions on_rcpt, on_data, … to what the host calls."""

import json
import traceback
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Callable, Iterator, Mapping

from ._address import from_raw, parameters
from ._decision import Decision, Reply, check
from ._host import raw, release
from ._services import log


@dataclass(frozen=True)
class Problem:
    """What is wrong in the settings: dotted path below [plugins.NAME.config]."""

    path: str
    message: str


@dataclass(frozen=True)
class Credential:
    mechanism: str
    user: str
    password: str | None = None
    token: str | None = None


@dataclass(frozen=True)
class Event:
    unix_ms: int
    kind: str
    """ "accepted", "rejected", "delivered", "deferred", "failed", …: ignore what you do not know."""
    session_id: str | None
    message_id: str | None
    fields: Mapping[str, str]


class Config(Mapping[str, Any]):
    """The settings. They are there when `init` or a hook runs, not while the module loads."""

    _values: dict[str, Any] | None = None

    def _load(self) -> dict[str, Any]:
        if self._values is None:
            self._values = json.loads(raw.config.json())
        return self._values

    def __getitem__(self, key: str) -> Any:
        return self._load()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())


config = Config()


def secret(name: str) -> str | None:
    """A secret that the settings bind to this plugin; None in `init`."""
    return raw.config.secret(name)


class Guest:
    """A plugin's module as the host sees it."""

    def __init__(self, plugin: ModuleType) -> None:
        self._plugin = plugin
        self._problems: list[Problem] | None = None

    def init(self) -> list[Problem]:
        """Once in each instance: where the host keeps what init left in memory, that is once in each load."""
        if self._problems is None:
            config._values = None
            check_settings = getattr(self._plugin, "init", None)
            self._problems = list(self._shown("init", check_settings, config) or []) if check_settings else []
        return self._problems

    def call(self, hook: str, *given: Any) -> Decision | None:
        """One call of a hook: its decision, checked; None of `on_events`."""

        def asked() -> Decision | None:
            for problem in self.init():
                raise ValueError(f"settings: {problem.path}: {problem.message}")
            decided = getattr(self._plugin, hook)(*given)
            return None if hook == "on_events" else check(hook, decided)

        return self._shown(hook, asked)

    def _shown(self, where: str, call: Callable[..., Any], *given: Any) -> Any:
        """An exception ends the call as a failure of the plugin; the log says where it was raised."""
        try:
            return call(*given)
        except Exception as raised:
            log.error(f"{where}: {type(raised).__name__}: {raised}", stack=traceback.format_exc())
            raise
        finally:
            release()


# ---------------------------------------------------------------- between the SDK's types and those of the bindings


def credential(mechanism: str, user: str, given: Any) -> Credential:
    kind = type(given).__name__.removeprefix("Credential_").lower()
    return Credential(mechanism, user, **{kind: given.value})


def event(given: Any) -> Event:
    return Event(given.unix_ms, given.kind, given.session_id, given.message_id, dict(given.fields))


def lower(bindings: ModuleType, decision: Decision | None) -> Any:
    """The decision as a case of the hook's variant, in the module of its bindings."""
    assert decision is not None
    case = getattr(bindings, f"Decision_{decision.name.capitalize()}")
    value = decision.value
    if isinstance(value, Reply):
        value = raw.types.Reply(value.code, value.enhanced, value.text)
    return case() if value is None else case(value)


recipient = from_raw
rcpt_parameters = parameters
