"""Plugins for the Baton mail relay in Python.

A plugin is a module with functions named after hooks (`on_connect`, `on_auth`, `on_rcpt`, `on_data`, `on_route`,
`on_bounce`, `on_events`), and `init` when its settings need to be checked. A hook that is not there is never called.
Everything else hangs on this package: `import baton`, then `baton.message.header("Subject")`, `baton.reject(…)`.
"""

from ._address import Address, Parameters
from ._decision import (
    Decision, Reply, accept, allow, deny, discard, disconnect, fail, hold, next, notify, quarantine, reject, reroute, retry,
    routed, silent, tempfail,
)  # fmt: skip
from ._dns import Answer, dns
from ._envelope import envelope
from ._host import HostError
from ._http import Response, http
from ._kv import Bucket, Taken, kv
from ._message import Body, Part, message
from ._plugin import Credential, Event, Problem, config, secret
from ._services import RemoteReply, clock, failure, log, metrics, routing, verify
from ._session import Certificate, Tls, session

__all__ = [
    "Address", "Answer", "Body", "Bucket", "Certificate", "Credential", "Decision", "Event", "HostError", "Parameters", "Part",
    "Problem", "RemoteReply", "Reply", "Response", "Taken", "Tls", "accept", "allow", "clock", "config", "deny", "discard", "disconnect", "dns",
    "envelope", "fail", "failure", "hold", "http", "kv", "log", "message", "metrics", "next", "notify", "quarantine", "reject",
    "reroute", "retry", "routed", "routing", "secret", "session", "silent", "tempfail", "verify",
]  # fmt: skip
