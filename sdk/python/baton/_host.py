"""The one place that knows where the host's interfaces come from: the entry that `python -m baton build` writes hands in
the imports of the component, a TestHost hands in its own."""

import re
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Callable, Iterator

raw = SimpleNamespace()
"""The host's interfaces by name, as WebAssembly shows them. Not for plugins."""

_open: dict[str, Any] = {}


def connect(**interfaces: Any) -> None:
    raw.__dict__.clear()
    raw.__dict__.update(interfaces)
    _open.clear()


class HostError(Exception):
    """The host refused, or could not do, what was asked. Not caught, it ends the call as a failure of the plugin.

    `kind` is "denied", "quota", "too-large", "unavailable", "timeout", "bad-name", "failed", or "refused" for a change.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turns what the host throws (a text, or a case of a variant) into a HostError that says what was asked."""
    try:
        yield
    except HostError:
        raise
    except Exception as thrown:
        if type(thrown).__name__ != "Err":
            raise
        raise host_error(what, thrown.value) from None  # type: ignore[attr-defined]


def host_error(what: str, error: Any) -> HostError:
    """The error of a nested result, such as one of many DNS answers."""
    if isinstance(error, str):
        return HostError("refused", f"{what}: {error}")
    name = type(error).__name__.removeprefix("Error_")
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
    detail = getattr(error, "value", None)
    return HostError(kind, f"{what}: {kind}: {detail}" if detail else f"{what}: {kind}")


def handle(name: str, make: Callable[[], Any]) -> Any:
    """The handle of that name, opened once in a call: handles are bounded, and belong to the call."""
    if name not in _open:
        _open[name] = make()
    return _open[name]


def release(*names: str) -> None:
    """Drops these handles, or all."""
    for name in names or tuple(_open):
        opened = _open.pop(name, None)
        if opened is not None:
            opened.__exit__(None, None, None)


def octets(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
