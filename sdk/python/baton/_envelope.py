from typing import Any, Iterable

from ._address import Address, Parameters, from_raw, parameters, to_raw
from ._host import asking, raw
from ._session import Notes


class Envelope(Notes):
    """Sender, recipients, marks. What is read is the state at the beginning of the call; what is set is applied when the
    hook returned."""

    def _home(self) -> Any:
        return raw.envelope

    @property
    def id(self) -> str:
        return raw.envelope.id()

    @property
    def tenant(self) -> str | None:
        return raw.envelope.tenant()

    @property
    def message_stream(self) -> str | None:
        return raw.envelope.message_stream()

    @property
    def sender(self) -> Address | None:
        """None is the null sender."""
        sender = raw.envelope.sender()
        return None if sender is None else from_raw(sender)

    @property
    def sender_parameters(self) -> Parameters:
        return parameters(raw.envelope.sender_params())

    @property
    def recipient_count(self) -> int:
        return raw.envelope.recipient_count()

    @property
    def recipients(self) -> list[Address]:
        return [from_raw(raw.envelope.recipient(index)) for index in range(raw.envelope.recipient_count())]

    def recipient_parameters(self, index: int) -> Parameters:
        return parameters(raw.envelope.recipient_params(index))

    @property
    def priority(self) -> int:
        """-9 to 9; what is higher leaves the queue first."""
        return raw.envelope.priority()

    @property
    def total_score(self) -> float:
        return raw.envelope.total_score()

    def set_sender(self, to: str | Address | None) -> None:
        with asking("set_sender"):
            raw.envelope.set_sender(None if to is None else to_raw(to))

    def add_recipient(self, to: str | Address) -> None:
        with asking("add_recipient"):
            raw.envelope.add_recipient(to_raw(to))

    def remove_recipient(self, index: int) -> None:
        """By index at the beginning of the call."""
        with asking("remove_recipient"):
            raw.envelope.remove_recipient(index)

    def redirect(self, index: int, *to: str | Address) -> None:
        """Puts other mailboxes in the place of a recipient."""
        with asking("redirect"):
            raw.envelope.redirect(index, [to_raw(address) for address in to])

    def set_message_stream(self, name: str) -> None:
        with asking("set_message_stream"):
            raw.envelope.set_message_stream(name)

    def set_priority(self, priority: int) -> None:
        with asking("set_priority"):
            raw.envelope.set_priority(priority)

    def quarantine(self, reason: str) -> None:
        """Holds the message for an operator, whatever is decided later, unless it is refused."""
        with asking("quarantine"):
            raw.envelope.quarantine(reason)

    def tag(self, name: str, value: object) -> None:
        with asking("tag"):
            raw.envelope.tag(name, str(value))

    def score(self, symbol: str, points: float) -> None:
        with asking("score"):
            raw.envelope.score(symbol, float(points))


envelope = Envelope()
