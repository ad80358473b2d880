"""What a hook answers. Each function makes a decision; on return it is checked that it fits the hook."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    code: int
    enhanced: tuple[int, int, int] | None
    text: str


@dataclass(frozen=True)
class Decision:
    """What a hook answers: made by the functions of this module only."""

    name: str
    value: Any = None


def next() -> Decision:
    """Ask the next plugin."""
    return Decision("next")


def accept() -> Decision:
    """Ask no more plugins at this hook. In the rcpt hook it lets in what the relay would refuse (grant: relay)."""
    return Decision("accept")


def reject(code: int, enhanced: str | None, text: str) -> Decision:
    """Refuse for good: 5xx, such as `reject(550, "5.7.1", "we do not serve that domain")`."""
    return Decision("reject", _reply("reject", "5", code, enhanced, text))


def tempfail(code: int, enhanced: str | None, text: str) -> Decision:
    """Refuse for now: 4xx."""
    return Decision("tempfail", _reply("tempfail", "4", code, enhanced, text))


def disconnect(code: int, enhanced: str | None, text: str) -> Decision:
    """Answer 4xx or 5xx and close the connection."""
    return Decision("disconnect", _reply("disconnect", "45", code, enhanced, text))


def discard(reason: str | None = None) -> Decision:
    """Answer 250 and drop it; in the data hook with a reason."""
    return Decision("discard", reason)


def quarantine(reason: str) -> Decision:
    """Answer 250 and hold it for an operator."""
    return Decision("quarantine", reason)


def allow(account: str) -> Decision:
    """The client is that account."""
    return Decision("allow", account)


def deny(code: int, enhanced: str | None, text: str) -> Decision:
    """The client is not who it says it is: 5xx."""
    return Decision("deny", _reply("deny", "5", code, enhanced, text))


def routed() -> Decision:
    """Use what was set by `routing`, and ask no more plugins."""
    return Decision("routed")


def hold(reason: str) -> Decision:
    """Keep the copy until an operator releases it."""
    return Decision("hold", reason)


def fail(code: int | None = None, enhanced: str | None = None, text: str = "") -> Decision:
    """Give up: in the route hook with a reply, in the bounce hook without anything."""
    return Decision("fail") if code is None else Decision("fail", _reply("fail", "5", code, enhanced, text))


def notify() -> Decision:
    """Give up and report to the sender."""
    return Decision("notify")


def silent() -> Decision:
    """Give up without a report."""
    return Decision("silent")


def retry(after_ms: int) -> Decision:
    """Try again after so many milliseconds."""
    return Decision("retry", after_ms)


def reroute() -> Decision:
    """Ask the route hook again at once."""
    return Decision("reroute")


ALLOWED: dict[str, dict[str, type | None]] = {
    "on_connect": {"next": None, "accept": None, "reject": Reply, "tempfail": Reply},
    "on_auth": {"next": None, "allow": str, "deny": Reply, "tempfail": Reply, "disconnect": Reply},
    "on_rcpt": {
        "next": None, "accept": None, "reject": Reply, "tempfail": Reply, "discard": None, "disconnect": Reply,
    },
    "on_data": {
        "next": None, "accept": None, "reject": Reply, "tempfail": Reply, "discard": str, "quarantine": str,
        "disconnect": Reply,
    },
    "on_route": {"next": None, "routed": None, "hold": str, "fail": Reply},
    "on_bounce": {"next": None, "notify": None, "silent": None, "retry": int, "reroute": None, "fail": None},
}  # fmt: skip
"""The decisions of each hook, with what they carry."""


def check(hook: str, given: object) -> Decision:
    """The decision, when it is one of that hook; raises in words for the author."""
    allowed = ALLOWED[hook]
    if not isinstance(given, Decision) or given.name not in allowed:
        got = f"{given.name}()" if isinstance(given, Decision) else repr(given)
        raise TypeError(f"{hook} returned {got}; it returns one of {', '.join(f'{name}()' for name in allowed)}")
    wanted = allowed[given.name]
    if wanted is None:
        if hook == "on_rcpt" or given.value is None:
            return Decision(given.name)
        raise TypeError(f"{hook}: {given.name} takes nothing here")
    if not isinstance(given.value, wanted):
        words = {Reply: "a code, an enhanced code and a text", str: "a text", int: "milliseconds"}
        raise TypeError(f"{hook}: {given.name} takes {words[wanted]} here")
    return given


def _reply(name: str, first_digits: str, code: int, enhanced: str | None, text: str) -> Reply:
    if not isinstance(code, int) or not 400 <= code <= 599 or str(code)[0] not in first_digits:
        raise ValueError(f"{name}(code, enhanced, text): the code is {'xx or '.join(first_digits)}xx, not {code}")
    if enhanced is None:
        return Reply(code, None, text)
    numbers = enhanced.split(".")
    if len(numbers) != 3 or not all(number.isdigit() and len(number) <= 3 for number in numbers):
        raise ValueError(f'{name}(code, enhanced, text): "{enhanced}" is no enhanced status code such as "5.7.1"')
    return Reply(code, (int(numbers[0]), int(numbers[1]), int(numbers[2])), text)
