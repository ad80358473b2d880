"""The small services: routing, the failed attempt, callouts, log, metrics, clock."""

from dataclasses import dataclass
from typing import Any, Mapping

from ._address import Address, to_raw
from ._host import asking, raw


@dataclass(frozen=True)
class RemoteReply:
    code: int
    enhanced: str | None
    text: str


class Routing:
    """Where this recipient's copy goes next; only the route hook may set it. Targets need a grant."""

    @property
    def attempt(self) -> int:
        return raw.routing.attempt()

    @property
    def age_ms(self) -> int:
        return raw.routing.age_ms()

    @property
    def last_error(self) -> str | None:
        return raw.routing.last_error()

    def use_mx_of(self, domain: str) -> None:
        with asking("use_mx_of"):
            raw.routing.use_mx_of(domain)

    def use_host(self, host: str, port: int = 25) -> None:
        with asking("use_host"):
            raw.routing.use_host(host, port)

    def use_lmtp(self, target: str) -> None:
        """ "host:port" or "unix:/path"."""
        with asking("use_lmtp"):
            raw.routing.use_lmtp(target)

    def use_next_hop(self, name: str) -> None:
        with asking("use_next_hop"):
            raw.routing.use_next_hop(name)

    def add_fallback(self, host: str, port: int = 25) -> None:
        with asking("add_fallback"):
            raw.routing.add_fallback(host, port)

    def set_queue(self, name: str) -> None:
        with asking("set_queue"):
            raw.routing.set_queue(name)

    def not_before(self, unix_ms: int) -> None:
        with asking("not_before"):
            raw.routing.not_before(unix_ms)

    def expire_after_ms(self, ms: int) -> None:
        with asking("expire_after_ms"):
            raw.routing.expire_after(ms)


class Failure:
    """The failed attempt that a bounce hook is asked about."""

    @property
    def permanent(self) -> bool:
        """True when the relay would give up."""
        return raw.failure.permanent()

    @property
    def remote_host(self) -> str | None:
        return raw.failure.remote_host()

    @property
    def remote_reply(self) -> RemoteReply | None:
        reply = raw.failure.remote_reply()
        return None if reply is None else _readable(reply)

    @property
    def phase(self) -> str:
        return raw.failure.phase()

    @property
    def class_name(self) -> str:
        """What the relay's own classifier says: "bad-mailbox", "quota", "block-source", …"""
        return raw.failure.class_()

    def set_class(self, name: str) -> None:
        with asking("set_class"):
            raw.failure.set_class(name)


def verify(recipient: str | Address) -> tuple[str, RemoteReply]:
    """Asks the next hop whether it takes mail for a recipient (rcpt hook only; grant: verify): its name and reply."""
    with asking(f"verify {recipient}"):
        answer = raw.verify.recipient(to_raw(recipient))
        return answer.host, _readable(answer.reply)


class Log:
    """Lines of the relay's log, with fields."""

    def trace(self, message: object, **fields: object) -> None:
        self._emit("TRACE", message, fields)

    def debug(self, message: object, **fields: object) -> None:
        self._emit("DEBUG", message, fields)

    def info(self, message: object, **fields: object) -> None:
        self._emit("INFO", message, fields)

    def warn(self, message: object, **fields: object) -> None:
        self._emit("WARN", message, fields)

    def error(self, message: object, **fields: object) -> None:
        self._emit("ERROR", message, fields)

    def _emit(self, level: str, message: object, fields: Mapping[str, object]) -> None:
        raw.log.emit(getattr(raw.log.Level, level), str(message), _pairs(fields))


class Metrics:
    """Metrics of the plugin's own; labels are keyword arguments."""

    def count(self, name: str, value: int = 1, **labels: object) -> None:
        raw.metrics.count(name, value, _pairs(labels))

    def gauge(self, name: str, value: float, **labels: object) -> None:
        raw.metrics.gauge(name, float(value), _pairs(labels))

    def observe(self, name: str, value: float, **labels: object) -> None:
        raw.metrics.observe(name, float(value), _pairs(labels))


class Clock:
    """The relay's clock."""

    @property
    def now_ms(self) -> int:
        return raw.clock.now_ms()

    @property
    def remaining_ms(self) -> int:
        """Wall time that this call may still take."""
        return raw.clock.remaining_ms()


def _pairs(fields: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in fields.items()]


def _readable(reply: Any) -> RemoteReply:
    enhanced = None if reply.enhanced is None else ".".join(map(str, reply.enhanced))
    return RemoteReply(reply.code, enhanced, reply.text)


routing = Routing()
failure = Failure()
log = Log()
metrics = Metrics()
clock = Clock()
