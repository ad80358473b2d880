// Refuses attachments by the ending of their name, counts in the key-value store, says in the header what it saw.

import { config, kv, log, message, next, reject, session } from "baton-sdk";

const counters = kv("attachments");

export function init({ blocked }) {
  const isList = Array.isArray(blocked) && blocked.length > 0 && blocked.every((ending) => typeof ending === "string");
  return isList ? [] : [{ path: "blocked", message: "a list of file name endings is needed, such as [\"exe\"]" }];
}

export function onData() {
  const names = message.parts().map((part) => part.filename).filter((name) => name !== undefined);
  const refused = names.find((name) => config.blocked.includes(ending(name)));
  if (refused !== undefined) {
    const count = counters.increment("refused");
    log.info("attachment refused", { name: refused, count });
    return reject(550, "5.7.1", `attachment ${refused} is not accepted`);
  }
  const seen = counters.increment("passed");
  message.setHeader("X-Attachments", `${names.length}; seen=${seen}`);
  message.setHeader("X-Session", `${session.tls?.version ?? "plain text"} of ${session.tls?.verifiedSubject ?? "nobody"}, iprev ${session.iprev}`);
  return next();
}

const ending = (name) => name.slice(name.lastIndexOf(".") + 1).toLowerCase();
