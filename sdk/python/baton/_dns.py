from dataclasses import dataclass
from typing import Any, Sequence

from ._host import HostError, asking, host_error, raw

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "DS": 43, "TLSA": 52,
    "CAA": 257,
}  # fmt: skip
"""Numbers of the record types that have a name here (IANA); others are given as numbers."""


@dataclass(frozen=True)
class Answer:
    rcode: int
    authenticated: bool
    ttl: int
    records: list[str]

    @property
    def found(self) -> bool:
        return self.rcode == 0 and bool(self.records)

    @property
    def no_such_name(self) -> bool:
        return self.rcode == 3


class Dns:
    """DNS through the relay's resolver and cache (grant: dns)."""

    def lookup(self, name: str, type: str | int = "A") -> Answer:
        with asking(f"dns {name}"):
            return _answer(raw.dns.lookup(_query(name, type)))

    def lookup_many(self, queries: Sequence[tuple[str, str | int]]) -> list[Answer | HostError]:
        """All at once. A query that failed answers a HostError in its place."""
        answers = raw.dns.lookup_many([_query(name, type) for name, type in queries])
        return [_result(f"dns {name}", given, _answer) for (name, _), given in zip(queries, answers)]

    def blocklists(self, zones: Sequence[str], subject: str) -> list[list[str] | HostError]:
        """Asks all blocklists at once about an address or a domain: what each says, [] is "not listed"."""
        answers = raw.dns.blocklists(list(zones), subject)
        return [_result(f"dns {zone}", given, list) for zone, given in zip(zones, answers)]


def _query(name: str, type: str | int) -> Any:
    number = type if isinstance(type, int) else TYPES.get(type.upper())
    if number is None:
        raise ValueError(f'"{type}" is no record type with a name here: give its IANA number')
    return raw.dns.Query(name, number)


def _answer(given: Any) -> Answer:
    return Answer(given.rcode, given.authenticated, given.ttl, given.records)


def _result(what: str, given: Any, read: Any) -> Any:
    return host_error(what, given.value) if type(given).__name__ == "Err" else read(given.value)


dns = Dns()
