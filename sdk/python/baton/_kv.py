from dataclasses import dataclass
from typing import Any, Callable

from ._host import asking, handle, octets, raw


@dataclass(frozen=True)
class Taken:
    allowed: bool
    remaining: int
    retry_after_ms: int


class Bucket:
    """A bucket of the key-value store; opened when it is used first."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _ask(self, key: str, question: Callable[[Any], Any]) -> Any:
        with asking(f"kv {self._name}: {key}"):
            return question(handle(f"kv {self._name}", lambda: raw.kv.Bucket.open(self._name)))

    def get(self, key: str) -> bytes | None:
        return self._ask(key, lambda bucket: bucket.get(key))

    def set(self, key: str, value: str | bytes, ttl_ms: int | None = None) -> None:
        self._ask(key, lambda bucket: bucket.set(key, octets(value), ttl_ms))

    def set_if_absent(self, key: str, value: str | bytes, ttl_ms: int | None = None) -> bool:
        return self._ask(key, lambda bucket: bucket.set_if_absent(key, octets(value), ttl_ms))

    def compare_and_set(
        self, key: str, expected: str | bytes | None, value: str | bytes | None, ttl_ms: int | None = None
    ) -> bool:
        """None is "absent", before and after."""
        before, after = (None if given is None else octets(given) for given in (expected, value))
        return self._ask(key, lambda bucket: bucket.compare_and_set(key, before, after, ttl_ms))

    def delete(self, key: str) -> None:
        self._ask(key, lambda bucket: bucket.delete(key))

    def increment(self, key: str, delta: int = 1, ttl_ms: int | None = None) -> int:
        """Adds atomically and answers the new value. The time to live counts from the key's creation: a fixed window."""
        return self._ask(key, lambda bucket: bucket.increment(key, delta, ttl_ms))

    def take(self, key: str, *, burst: int, period_ms: int, cost: int = 1) -> Taken:
        """A token bucket: `burst` tokens at most, all of them back after `period_ms`."""
        taken = self._ask(key, lambda bucket: bucket.take(key, cost, burst, period_ms))
        return Taken(taken.allowed, taken.remaining, taken.retry_after_ms)

    def scan(self, prefix: str = "", cursor: str | None = None, limit: int = 1000) -> tuple[list[str], str | None]:
        """Keys that begin with the prefix, in order, and where the next page begins when there is one."""
        page = self._ask("scan", lambda bucket: bucket.scan(prefix, cursor, limit))
        return page.keys, page.cursor


def kv(name: str) -> Bucket:
    """A bucket (grant: kv, by name): the plugin's own, unless its name begins with "shared/"."""
    return Bucket(name)
