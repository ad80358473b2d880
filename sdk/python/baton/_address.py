from dataclasses import dataclass
from typing import Any, Mapping

from ._host import raw


@dataclass(frozen=True)
class Address:
    """A mailbox. Wherever the SDK takes one, "local@domain" does as well."""

    local: str
    domain: str
    """In its ASCII form, lower case."""

    @classmethod
    def parse(cls, text: "str | Address") -> "Address":
        if isinstance(text, Address):
            return text
        local, _, domain = text.rpartition("@")
        if not local or not domain:
            raise ValueError(f'"{text}" is not a mailbox: local@domain is needed')
        return cls(local, domain.lower())

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


Parameters = Mapping[str, "str | None"]
"""ESMTP parameters by upper-case name; None is the value of those without one."""


def from_raw(address: Any) -> Address:
    return Address(address.local, address.domain.lower())


def to_raw(address: "str | Address") -> Any:
    parsed = Address.parse(address)
    return raw.types.Address(parsed.local, parsed.domain)


def parameters(given: Any) -> Parameters:
    return {parameter.name: parameter.value for parameter in given}
