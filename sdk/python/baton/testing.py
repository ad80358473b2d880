"""A relay made up for one test: plain Python, so that hooks run under unittest or pytest, with a debugger if need be.

The whole contract, with limits and grants, is what `baton plugin test` runs.
"""

import json
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, Callable, Mapping, Sequence

from ._address import Address
from ._decision import Decision
from ._host import connect
from ._plugin import Guest, Problem


class Err(Exception):
    """What the host throws."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


class Error_Denied:
    """What the host answers to a call that it can not serve."""


@dataclass
class TestHost:
    """One world: its fields are what the plugin reads; what the plugin did is in `edits`, `logs`, `metrics`, `kv`."""

    __test__ = False  # for pytest: this is no test

    config: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    """Such as `{"remote_ip": "192.0.2.1", "helo": "client.example"}`."""
    sender: str | None = None
    recipients: Sequence[str] = ()
    envelope: Mapping[str, Any] = field(default_factory=dict)
    """Such as `{"tenant": "t", "priority": 5}`."""
    headers: Sequence[tuple[str, str]] = ()
    parts: Sequence[Mapping[str, Any]] = ()
    """Such as `{"filename": "a.txt", "content": b"…"}`."""
    octets: bytes = b""
    """What `message.read` and `find` see."""
    kv: dict[str, dict[str, bytes]] = field(default_factory=dict)
    dns: Mapping[str, list[str]] = field(default_factory=dict)
    """Records by name; a name that is not there does not exist."""
    blocklists: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)
    """Zone, subject, A records."""
    http: Callable[[Any], tuple[int, Any]] | None = None
    """From a request (method, url, headers, body) to status and body."""
    routing: Mapping[str, Any] = field(default_factory=dict)
    failure: Mapping[str, Any] = field(default_factory=dict)
    now_ms: int = 1_767_225_600_000
    edits: list[tuple[Any, ...]] = field(default_factory=list)
    """Changes in order: name of the function, what it was given."""
    logs: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Level, message, fields."""
    metrics: dict[str, float] = field(default_factory=dict)

    def run(self, plugin: ModuleType, hook: str, *given: Any) -> Decision | None:
        """Calls a hook ("data", "rcpt", …) as the relay would. Recipients may be given as texts."""
        connect(**self._interfaces())
        taken = [Address.parse(one) if isinstance(one, str) and "@" in one else one for one in given]
        return Guest(plugin).call(f"on_{hook}", *taken)

    def problems(self, plugin: ModuleType) -> list[Problem]:
        """What `init` finds wrong with the settings."""
        connect(**self._interfaces())
        return Guest(plugin).init()

    def _interfaces(self) -> dict[str, Any]:
        levels = SimpleNamespace(TRACE="trace", DEBUG="debug", INFO="info", WARN="warn", ERROR="error")
        emit = lambda level, message, fields: self.logs.append((level, message, dict(fields)))  # noqa: E731
        known = {"id": "s1", "listener": "smtp", "remote_ip": "192.0.2.1", "remote_port": 40000, "iprev": "permerror", **self.session}
        return {
            "types": SimpleNamespace(Address=_record("local", "domain"), Reply=_record("code", "enhanced", "text")),
            "log": SimpleNamespace(Level=levels, emit=emit),
            "config": SimpleNamespace(json=lambda: json.dumps(self.config), secret=self.secrets.get),
            "kv": SimpleNamespace(Bucket=SimpleNamespace(open=lambda name: _Bucket(self.kv.setdefault(name, {})))),
            "dns": self._dns(),
            "http": self._http(),
            "metrics": self._metrics(),
            "clock": SimpleNamespace(now_ms=lambda: self.now_ms, remaining_ms=lambda: 1000),
            "session": _Facts(known, self.edits, note=lambda key: None),
            "envelope": self._envelope(),
            "message": self._message(),
            "routing": _Facts({"attempt": 0, "age_ms": 0, **self.routing}, self.edits),
            "failure": _Facts({"permanent": True, "phase": "rcpt", "class_": "unknown", **self.failure}, self.edits),
            "verify": SimpleNamespace(recipient=_denied),
        }

    def _envelope(self) -> Any:
        addresses = [Address.parse(recipient) for recipient in self.recipients]
        known = {"id": "m1", "priority": 0, "total_score": 0.0, "sender_params": [], **self.envelope}
        known["sender"] = Address.parse(self.sender) if self.sender else None
        known["recipient_count"] = len(addresses)
        return _Facts(
            known, self.edits, recipient=addresses.__getitem__, recipient_params=lambda _: [], note=lambda key: None
        )

    def _message(self) -> Any:
        def values(name: str) -> list[str]:
            return [value for given, value in self.headers if given.lower() == name.lower()]

        def changed(what: str) -> Callable[..., int]:
            return lambda name, *more: self.edits.append((what, name, *more)) or len(values(name))

        def find(needle: bytes, start: int) -> int | None:
            return None if (at := self.octets.find(needle, start)) < 0 else at

        known = {"size": len(self.octets), "header_size": 0, "header_names": [name for name, _ in self.headers]}
        known["part_count"] = len(self.parts)
        return _Facts(
            known, self.edits, header=lambda name: next(iter(values(name)), None), headers=values,
            raw_header=lambda name: next((value.encode() for value in values(name)), None),
            addresses=lambda name: [("", value) for value in values(name)],
            read=lambda offset, length: self.octets[offset : offset + length], find=find,
            get_part=lambda index: _Part(self.parts[index]), replace_body=lambda: _BodyWriter(self.edits),
            set_header=changed("set_header"), remove_header=changed("remove_header"),
        )  # fmt: skip

    def _dns(self) -> Any:
        def lookup(query: Any) -> Any:
            records = self.dns.get(query.name, [])
            return SimpleNamespace(rcode=0 if records else 3, authenticated=False, ttl=60, records=records)

        def blocklists(zones: list[str], subject: str) -> list[Any]:
            return [SimpleNamespace(value=self.blocklists.get(zone, {}).get(subject, [])) for zone in zones]

        many = lambda queries: [SimpleNamespace(value=lookup(query)) for query in queries]  # noqa: E731
        query = _record("name", "rr_type")
        return SimpleNamespace(Query=query, lookup=lookup, lookup_many=many, blocklists=blocklists)

    def _http(self) -> Any:
        def fetch(request: Any) -> Any:
            status, body = self.http(request) if self.http else _denied()
            octets = body if isinstance(body, bytes) else json.dumps(body).encode()
            return SimpleNamespace(status=status, headers=[], body=octets)

        many = lambda requests: [SimpleNamespace(value=fetch(request)) for request in requests]  # noqa: E731
        request = _record("method", "url", "headers", "body", "timeout_ms", "max_response")
        return SimpleNamespace(Request=request, fetch=fetch, fetch_many=many)

    def _metrics(self) -> Any:
        def count(name: str, value: float, _: Any) -> None:
            self.metrics[name] = self.metrics.get(name, 0) + value

        def keep(name: str, value: float, _: Any) -> None:
            self.metrics[name] = value

        return SimpleNamespace(count=count, gauge=keep, observe=keep)


class _Facts:
    """Functions that answer what is known; those that change something are written down."""

    def __init__(self, known: Mapping[str, Any], edits: list[tuple[Any, ...]], **functions: Any) -> None:
        self._known, self._edits = known, edits
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in self._known:
            return lambda: self._known[name]
        changes = ("set_", "add_", "remove_", "insert_", "use_", "redirect", "quarantine", "tag", "score", "not_", "expire_")
        if name.startswith(changes):
            return lambda *given: self._edits.append((name, *given))
        return lambda *_: None


class _Handle:
    def __exit__(self, *_: Any) -> None:
        pass


class _Part(_Handle):
    def __init__(self, known: Mapping[str, Any]) -> None:
        content = known.get("content", b"")
        self._content = content.encode() if isinstance(content, str) else content
        self._known = {"content_type": "application/octet-stream", "transfer_encoding": "7bit", "within": ["mixed"], **known}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_: self._known.get(name)

    def decoded_size(self) -> int:
        return len(self._content)

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]

    def text(self, at_most: int, _: bool) -> str:
        return self._content.decode("utf-8", "replace")[:at_most]


class _BodyWriter(_Handle):
    def __init__(self, edits: list[tuple[Any, ...]]) -> None:
        self._edits, self._pieces = edits, []

    def write(self, chunk: bytes) -> None:
        self._pieces.append(chunk)

    def copy(self, offset: int, length: int) -> None:
        self._pieces.append((offset, length))

    def finish(self) -> None:
        self._edits.append(("replace_body", *self._pieces))


class _Bucket(_Handle):
    def __init__(self, values: dict[str, bytes]) -> None:
        self._values = values

    def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    def set(self, key: str, value: bytes, _: Any) -> None:
        self._values[key] = value

    def set_if_absent(self, key: str, value: bytes, _: Any) -> bool:
        return self._values.setdefault(key, value) is value

    def compare_and_set(self, key: str, expected: bytes | None, value: bytes | None, _: Any) -> bool:
        if self._values.get(key) != expected:
            return False
        self._values.pop(key, None) if value is None else self._values.__setitem__(key, value)
        return True

    def delete(self, key: str) -> None:
        self._values.pop(key, None)

    def increment(self, key: str, delta: int, _: Any) -> int:
        value = int(self._values.get(key, b"0")) + delta
        self._values[key] = str(value).encode()
        return value

    def take(self, key: str, cost: int, burst: int, _: int) -> Any:
        left = int(self._values.get(key, str(burst)))
        allowed = left >= cost
        self._values[key] = str(left - cost if allowed else left).encode()
        return SimpleNamespace(allowed=allowed, remaining=int(self._values[key]), retry_after_ms=0 if allowed else 1000)

    def scan(self, prefix: str, _: Any, limit: int) -> Any:
        keys = sorted(key for key in self._values if key.startswith(prefix))
        return SimpleNamespace(keys=keys[:limit], cursor=None)


def _record(*names: str) -> Callable[..., Any]:
    return lambda *values: SimpleNamespace(**dict(zip(names, values)))


def _denied(*_: Any) -> Any:
    raise Err(Error_Denied())
