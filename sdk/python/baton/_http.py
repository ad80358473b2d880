import json
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from ._host import HostError, asking, host_error, octets, raw


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Http:
    """HTTP through the relay's client (grant: http, by URL prefix)."""

    def fetch(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: Any = b"",
        timeout_ms: int | None = None, max_response: int | None = None,
    ) -> Response:  # fmt: skip
        """A body that is neither text nor octets is sent as JSON."""
        options = {"method": method, "headers": headers or {}, "body": body}
        return exchange("http", url, raw.http.fetch, **options, timeout_ms=timeout_ms, max_response=max_response)

    def get(self, url: str, **options: Any) -> Response:
        return self.fetch(url, **options)

    def post(self, url: str, body: Any, **options: Any) -> Response:
        return self.fetch(url, method="POST", body=body, **options)

    def fetch_many(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Response | HostError]:
        """All at once: (url, options). A request that failed answers a HostError in its place."""
        answers = raw.http.fetch_many([_request(url, **options) for url, options in requests])
        return [
            host_error(f"http {url}", given.value) if type(given).__name__ == "Err" else _response(given.value)
            for (url, _), given in zip(requests, answers)
        ]


def exchange(what: str, url: str, send: Callable[[Any], Any], **options: Any) -> Response:
    """One request by that function of the host."""
    with asking(f"{what} {url}"):
        return _response(send(_request(url, **options)))


def _request(
    url: str, method: str = "GET", headers: Mapping[str, str] = {}, body: Any = b"", timeout_ms: int | None = None,
    max_response: int | None = None,
) -> Any:  # fmt: skip
    fields = [(name, str(value)) for name, value in headers.items()]
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
        if not any(name.lower() == "content-type" for name, _ in fields):
            fields.append(("content-type", "application/json"))
    return raw.http.Request(method, url, fields, octets(body), timeout_ms, max_response)


def _response(given: Any) -> Response:
    headers: dict[str, str] = {}
    for name, value in given.headers:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Response(given.status, headers, given.body)


http = Http()
