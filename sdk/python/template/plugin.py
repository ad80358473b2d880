"""{{name}}: each function named on_… is a hook; what is not there is never called."""

import baton


def init(config) -> list[baton.Problem]:
    """Checks the settings, [plugins.{{name}}.config], once per load."""
    if isinstance(config.get("blocked", []), list):
        return []
    return [baton.Problem("blocked", "a list of domains is needed")]


# hook: connect
def on_connect() -> baton.Decision:
    """A client connected."""
    return baton.next()


# hook: end
# hook: auth
def on_auth(credential: baton.Credential) -> baton.Decision:
    """A client wants to log in."""
    baton.log.debug("asked for an account", user=credential.user)
    return baton.next()


# hook: end
# hook: rcpt
def on_rcpt(recipient: baton.Address, parameters: baton.Parameters) -> baton.Decision:
    """RCPT TO."""
    if is_blocked(recipient):
        return baton.reject(550, "5.7.1", "we do not serve that domain")
    return baton.next()


# hook: end
# hook: data
def on_data() -> baton.Decision:
    """The whole message is here and not yet accepted."""
    return baton.next()


# hook: end
# hook: route
def on_route(recipient: baton.Address) -> baton.Decision:
    """A copy for this recipient is due."""
    if is_blocked(recipient):
        baton.log.info("a copy for a blocked domain is due", recipient=recipient)
    return baton.next()


# hook: end
# hook: bounce
def on_bounce(recipient: baton.Address) -> baton.Decision:
    """An attempt for this recipient failed."""
    baton.log.debug("an attempt failed", recipient=recipient)
    return baton.next()


# hook: end
# hook: events
def on_events(batch: list[baton.Event]) -> None:
    """What happened, off the mail path."""
    for event in batch:
        baton.log.info(event.kind, message=event.message_id)


# hook: end
def is_blocked(address: baton.Address) -> bool:
    return address.domain in baton.config.get("blocked", [])
