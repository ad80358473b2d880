// {{name}}: each exported function is a hook; what is not exported is never called.

import { config, log, next, reject } from "baton-sdk";

/** Checks the settings, [plugins.{{name}}.config], once per load. @param {{ blocked?: string[] }} settings */
export function init({ blocked = [] }) {
  return Array.isArray(blocked) ? [] : [{ path: "blocked", message: "a list of domains is needed" }];
}

// hook: connect
/** A client connected. @returns {import("baton-sdk").ConnectDecision} */
export function onConnect() {
  return next();
}

// hook: end
// hook: auth
/** A client wants to log in. @param {import("baton-sdk").Credential} credential @returns {import("baton-sdk").AuthDecision} */
export function onAuth(credential) {
  log.debug("asked for an account", { user: credential.user });
  return next();
}

// hook: end
// hook: rcpt
/** RCPT TO. @param {import("baton-sdk").Address} recipient @returns {import("baton-sdk").RcptDecision} */
export function onRcpt(recipient) {
  if (isBlocked(recipient)) return reject(550, "5.7.1", "we do not serve that domain");
  return next();
}

// hook: end
// hook: data
/** The whole message is here and not yet accepted. @returns {import("baton-sdk").DataDecision} */
export function onData() {
  return next();
}

// hook: end
// hook: route
/** A copy for this recipient is due. @param {import("baton-sdk").Address} recipient @returns {import("baton-sdk").RouteDecision} */
export function onRoute(recipient) {
  if (isBlocked(recipient)) log.info("a copy for a blocked domain is due", { recipient: `${recipient}` });
  return next();
}

// hook: end
// hook: bounce
/** An attempt for this recipient failed. @param {import("baton-sdk").Address} recipient @returns {import("baton-sdk").BounceDecision} */
export function onBounce(recipient) {
  log.debug("an attempt failed", { recipient: `${recipient}` });
  return next();
}

// hook: end
// hook: events
/** What happened, off the mail path. @param {import("baton-sdk").RelayEvent[]} batch */
export function onEvents(batch) {
  for (const { kind, message = "" } of batch) log.info(kind, { message });
}

// hook: end
/** @param {import("baton-sdk").Address} address */
export function isBlocked(address) {
  return (config.blocked ?? []).includes(address.domain);
}
