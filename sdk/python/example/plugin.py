"""Refuses attachments by the ending of their name, counts in the key-value store, says in the header what it saw."""

import baton

counters = baton.kv("attachments")


def init(config):
    blocked = config.get("blocked")
    if isinstance(blocked, list) and blocked and all(isinstance(ending, str) for ending in blocked):
        return []
    return [baton.Problem("blocked", 'a list of file name endings is needed, such as ["exe"]')]


def on_data():
    names = [part.filename for part in baton.message.parts() if part.filename is not None]
    for name in names:
        if name.rpartition(".")[2].lower() in baton.config["blocked"]:
            count = counters.increment("refused")
            baton.log.info("attachment refused", name=name, count=count)
            return baton.reject(550, "5.7.1", f"attachment {name} is not accepted")
    seen = counters.increment("passed")
    baton.message.set_header("X-Attachments", f"{len(names)}; seen={seen}")
    tls = baton.session.tls or baton.Tls("plain text", "")
    baton.message.set_header("X-Session", f"{tls.version} of {tls.verified_subject or 'nobody'}, iprev {baton.session.iprev}")
    return baton.next()
