from dataclasses import dataclass
from typing import Any, Callable

from ._host import asking, octets, raw


@dataclass(frozen=True)
class Certificate:
    """What a client showed of itself. It proves something only when `distrust` is None."""

    subject: str
    sha256: str
    distrust: str | None = None


@dataclass(frozen=True)
class Tls:
    """What protects a connection."""

    version: str
    """ "TLSv1.3" or "TLSv1.2"."""
    cipher: str
    server_name: str | None = None
    """The name that the client asked for (SNI)."""
    certificate: Certificate | None = None

    @property
    def verified_subject(self) -> str | None:
        """Whom the client's certificate names, when it is trusted."""
        shown = self.certificate
        return shown.subject if shown is not None and shown.distrust is None else None


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

    @property
    def iprev(self) -> str | None:
        """What came of looking for the client's name and for the way back from it (RFC 8601 2.7.3), looked up on first
        use: "pass", "fail", "permerror" or "temperror"."""
        return raw.session.iprev()

    @property
    def tls(self) -> "Tls | None":
        """What protects the connection; None in plain text."""
        facts = raw.session.tls()
        if facts is None:
            return None
        shown = facts.certificate
        certificate = Certificate(shown.subject, shown.sha256, shown.distrust) if shown is not None else None
        return Tls(facts.version, facts.cipher, facts.server_name, certificate)


session = Session()
