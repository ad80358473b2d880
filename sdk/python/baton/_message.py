from typing import Any, Callable

from ._host import asking, handle, octets, raw, release
from ._http import Response, exchange

CHARACTERS_MAX = 1 << 20
URLS_MAX = 1000


class Part:
    """A leaf of the MIME tree. One handle serves all parts, so that a message of a thousand needs no thousand."""

    _held: int | None = None

    def __init__(self, index: int) -> None:
        self._index = index

    @property
    def _part(self) -> Any:
        if Part._held != self._index:
            release("part")
            Part._held = self._index
        return handle("part", lambda: raw.message.get_part(self._index))

    @property
    def content_type(self) -> str:
        """Such as "text/plain", in lower case."""
        return self._part.content_type()

    @property
    def disposition(self) -> str | None:
        return self._part.disposition()

    @property
    def filename(self) -> str | None:
        return self._part.filename()

    @property
    def charset(self) -> str | None:
        return self._part.charset()

    @property
    def transfer_encoding(self) -> str:
        return self._part.transfer_encoding()

    @property
    def within(self) -> list[str]:
        """Subtypes of the enclosing multiparts, from the outermost."""
        return self._part.within()

    @property
    def decoded_size(self) -> int:
        return self._part.decoded_size()

    @property
    def raw_range(self) -> tuple[int, int]:
        """Offset and octets of its encoded content in the raw message."""
        return self._part.raw_range()

    def header(self, name: str) -> str | None:
        return self._part.header(name)

    def read(self, offset: int, length: int) -> bytes:
        """Decoded octets, at most 1 MiB."""
        return self._part.read(offset, length)

    def text(self, max_characters: int = CHARACTERS_MAX, strip_html: bool = False) -> str:
        return self._part.text(max_characters, strip_html)

    def digest(self, algorithm: str = "sha-256") -> str:
        """In hexadecimal."""
        with asking("digest"):
            return self._part.digest(algorithm).hex()

    def urls(self, at_most: int = URLS_MAX) -> list[str]:
        return self._part.urls(at_most)


class Body:
    """The new body, while it is written. Lines end with CRLF."""

    def __init__(self, writer: Callable[[], Any]) -> None:
        self._writer = writer

    def write(self, chunk: str | bytes) -> None:
        with asking("replace_body"):
            self._writer().write(octets(chunk))

    def copy(self, offset: int, length: int) -> None:
        """Adds octets of the message as it is, without copying them into the plugin."""
        with asking("replace_body"):
            self._writer().copy(offset, length)


class NewBody:
    """`with message.replace_body() as body:`: finished at the end of the block; an exception leaves the body as it was."""

    def __enter__(self) -> Body:
        release("body")
        return Body(self._writer)

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            with asking("replace_body"):
                self._writer().finish()
        release("body")

    def _writer(self) -> Any:
        return handle("body", raw.message.replace_body)


class Message:
    """The message stays in the host: nothing is copied but what is asked for. Only the data hook may change it."""

    @property
    def size(self) -> int:
        return raw.message.size()

    @property
    def header_size(self) -> int:
        return raw.message.header_size()

    @property
    def too_complex(self) -> str | None:
        """Why the header was not read."""
        return raw.message.too_complex()

    @property
    def header_names(self) -> list[str]:
        return raw.message.header_names()

    def header(self, name: str) -> str | None:
        """First value of that name, unfolded and decoded."""
        return raw.message.header(name)

    def headers(self, name: str) -> list[str]:
        return raw.message.headers(name)

    def raw_header(self, name: str) -> bytes | None:
        return raw.message.raw_header(name)

    def addresses(self, name: str) -> list[tuple[str, str]]:
        """Display name and address of all mailboxes in the fields of that name."""
        return raw.message.addresses(name)

    def read(self, offset: int, length: int) -> bytes:
        """Raw octets, at most 1 MiB."""
        return raw.message.read(offset, length)

    def find(self, needle: str | bytes, start: int = 0) -> int | None:
        return raw.message.find(octets(needle), start)

    def digest(self, algorithm: str = "sha-256") -> str:
        """Of all raw octets, in hexadecimal."""
        with asking("digest"):
            return raw.message.digest(algorithm).hex()

    def post_raw(self, url: str, **options: Any) -> Response:
        """Sends the raw message as the body of a request, without copying it into the plugin. Options are those of
        `http.fetch`."""
        return exchange("post_raw", url, raw.message.post_raw, **{"method": "POST", **options})

    def parts(self) -> list[Part]:
        """The leaves of the MIME tree, in order."""
        return [Part(index) for index in range(raw.message.part_count())]

    def add_header(self, name: str, value: object) -> None:
        with asking("add_header"):
            raw.message.add_header(name, str(value))

    def insert_header(self, index: int, name: str, value: object) -> None:
        """Before the field of that index; 0 is the top."""
        with asking("insert_header"):
            raw.message.insert_header(index, name, str(value))

    def set_header(self, name: str, value: object) -> int:
        """Replaces the first field of that name and removes the others, or adds it. Answers how many there were."""
        with asking("set_header"):
            return raw.message.set_header(name, str(value))

    def remove_header(self, name: str) -> int:
        with asking("remove_header"):
            return raw.message.remove_header(name)

    def replace_body(self) -> NewBody:
        return NewBody()


message = Message()
