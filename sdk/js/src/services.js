// The small services: routing, the failed attempt, callouts, log, metrics, clock.

import { toRaw } from "./address.js";
import { ask, orUndefined, raw } from "./host.js";
import { duration, pairs } from "./values.js";

const route = (what, change) => void ask(what, () => change(raw.routing));

/** Where this recipient's copy goes next; only the route hook may set it. Targets need a grant. */
export const routing = Object.freeze({
  get attempt() { return raw.routing.attempt(); },
  get ageMs() { return Number(raw.routing.ageMs()); },
  get lastError() { return orUndefined(raw.routing.lastError()); },
  useMxOf: (domain) => route("useMxOf", (routing) => routing.useMxOf(domain)),
  useHost: (host, port = 25) => route("useHost", (routing) => routing.useHost(host, port)),
  useLmtp: (target) => route("useLmtp", (routing) => routing.useLmtp(target)),
  useNextHop: (name) => route("useNextHop", (routing) => routing.useNextHop(name)),
  addFallback: (host, port = 25) => route("addFallback", (routing) => routing.addFallback(host, port)),
  setQueue: (name) => route("setQueue", (routing) => routing.setQueue(name)),
  notBefore: (when) => route("notBefore", (routing) => routing.notBefore(Number(when))),
  expireAfter: (after) => route("expireAfter", (routing) => routing.expireAfter(duration(after))),
});

/** The failed attempt that a bounce hook is asked about. */
export const failure = Object.freeze({
  get permanent() { return raw.failure.permanent(); },
  get remoteHost() { return orUndefined(raw.failure.remoteHost()); },
  get remoteReply() {
    const reply = raw.failure.remoteReply();
    return reply == null ? undefined : readable(reply);
  },
  get phase() { return raw.failure.phase(); },
  get class() { return raw.failure.class(); },
  setClass: (name) => void ask("setClass", () => raw.failure.setClass(name)),
});

/** Asks the next hop whether it takes mail for a recipient (rcpt hook only; grant: verify). */
export function verify(recipient) {
  const { host, reply } = ask(`verify ${recipient}`, () => raw.verify.recipient(toRaw(recipient)));
  return { host, ...readable(reply) };
}

const readable = ({ code, enhanced, text }) => ({ code, enhanced: enhanced == null ? undefined : enhanced.join("."), text });

const line = (level) => (message, fields) => raw.log.emit(level, String(message), pairs(fields));

/** Lines of the relay's log, with fields. */
export const log = Object.freeze({
  trace: line("trace"), debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error"),
});

/** Metrics of the plugin's own. */
export const metrics = Object.freeze({
  count: (name, value = 1, labels) => raw.metrics.count(name, value, pairs(labels)),
  gauge: (name, value, labels) => raw.metrics.gauge(name, value, pairs(labels)),
  observe: (name, value, labels) => raw.metrics.observe(name, value, pairs(labels)),
});

/** The relay's clock. */
export const clock = Object.freeze({
  now: () => Number(raw.clock.nowMs()),
  remaining: () => raw.clock.remainingMs(),
});
