// {{name}}: each exported function is a hook; what is not exported is never called.

import {
  config, log, next, reject, type Address, type AuthDecision, type BounceDecision, type ConnectDecision, type Credential,
  type DataDecision, type RelayEvent, type Problem, type RcptDecision, type RouteDecision,
} from "baton-sdk";

/** Checks the settings, [plugins.{{name}}.config], once per load. */
export function init({ blocked = [] }: { blocked?: string[] }): Problem[] {
  return Array.isArray(blocked) ? [] : [{ path: "blocked", message: "a list of domains is needed" }];
}

// hook: connect
/** A client connected. */
export function onConnect(): ConnectDecision {
  return next();
}

// hook: end
// hook: auth
/** A client wants to log in. */
export function onAuth(credential: Credential): AuthDecision {
  log.debug("asked for an account", { user: credential.user });
  return next();
}

// hook: end
// hook: rcpt
/** RCPT TO. */
export function onRcpt(recipient: Address): RcptDecision {
  if (isBlocked(recipient)) return reject(550, "5.7.1", "we do not serve that domain");
  return next();
}

// hook: end
// hook: data
/** The whole message is here and not yet accepted. */
export function onData(): DataDecision {
  return next();
}

// hook: end
// hook: route
/** A copy for this recipient is due. */
export function onRoute(recipient: Address): RouteDecision {
  if (isBlocked(recipient)) log.info("a copy for a blocked domain is due", { recipient: `${recipient}` });
  return next();
}

// hook: end
// hook: bounce
/** An attempt for this recipient failed. */
export function onBounce(recipient: Address): BounceDecision {
  log.debug("an attempt failed", { recipient: `${recipient}` });
  return next();
}

// hook: end
// hook: events
/** What happened, off the mail path. */
export function onEvents(batch: RelayEvent[]): void {
  for (const { kind, message = "" } of batch) log.info(kind, { message });
}

// hook: end
/** */
export function isBlocked(address: Address) {
  return (config.blocked ?? []).includes(address.domain);
}
