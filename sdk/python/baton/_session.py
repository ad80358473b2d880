from typing import Any, Callable

from ._host import asking, octets, raw


class Notes:
    """Notes of a session or a message: private to the plugin unless the key begins with "shared/"."""

    _home: Callable[[], Any]

    def note(self, key: str) -> bytes | None:
        return self._home().note(key)

    def set_note(self, key: str, value: str | bytes | None) -> None:
        """None removes it."""
        with asking(f"set_note {key}"):
            self._home().set_note(key, None if value is None else octets(value))


class Session(Notes):
    """The SMTP session. Each property is asked when it is read."""

    def _home(self) -> Any:
        return raw.session

    @property
    def id(self) -> str:
        return raw.session.id()

    @property
    def listener(self) -> str:
        """Its name in the settings; "internal" for messages that the relay made itself."""
        return raw.session.listener()

    @property
    def remote_ip(self) -> str:
        return raw.session.remote_ip()

    @property
    def remote_port(self) -> int:
        return raw.session.remote_port()

    @property
    def remote_name(self) -> str | None:
        """Forward-confirmed reverse name, looked up on first use."""
        return raw.session.remote_name()

    @property
    def helo(self) -> str | None:
        return raw.session.helo()

    @property
    def authenticated_as(self) -> str | None:
        return raw.session.authenticated_as()


session = Session()
