// What a hook answers. Each function makes a frozen decision; the SDK checks on return that it fits the hook.

import { duration } from "./values.js";

/** Ask the next plugin. */
export const next = () => decision("next");
/** Ask no more plugins at this hook. */
export const accept = () => decision("accept");
// These take a text, a code and a text, or a code, an enhanced code and a text.
export const reject = (...given) => reply("reject", [5], 550, "5.7.1", "Refused by policy", given);
export const tempfail = (...given) => reply("tempfail", [4], 451, "4.7.1", "Try again later", given);
export const disconnect = (...given) => reply("disconnect", [4, 5], 421, "4.7.0", "Closing the connection", given);
export const deny = (...given) => reply("deny", [5], 535, "5.7.8", "Authentication failed", given);
export const fail = (...given) => reply("fail", [5], 550, "5.7.1", "Refused by policy", given);
/** Answer 250 and drop the recipient or the message. */
export const discard = (reason = "discarded by policy") => decision("discard", String(reason));
/** Answer 250 and hold the message for an operator. */
export const quarantine = (reason = "quarantined by policy") => decision("quarantine", String(reason));
/** Keep this copy until an operator releases it. */
export const hold = (reason = "held by policy") => decision("hold", String(reason));
/** The client is that account. */
export const allow = (account) => decision("allow", String(account));
/** Use what was set by `routing`. */
export const routed = () => decision("routed");
/** Give up and report to the sender. */
export const notify = () => decision("notify");
/** Give up without a report. */
export const silent = () => decision("silent");
/** Try again after that time. */
export const retry = (after) => decision("retry", duration(after));
/** Ask the route hook again at once. */
export const reroute = () => decision("reroute");

const CARRIES = true;
const PLAIN = false;

/** The decisions of each hook, and whether the host takes what they carry. */
const LEGAL = {
  onConnect: { next: PLAIN, accept: PLAIN, reject: CARRIES, tempfail: CARRIES },
  onAuth: { next: PLAIN, allow: CARRIES, deny: CARRIES, tempfail: CARRIES, disconnect: CARRIES },
  onRcpt: { next: PLAIN, accept: PLAIN, reject: CARRIES, tempfail: CARRIES, discard: PLAIN, disconnect: CARRIES },
  onData: {
    next: PLAIN, accept: PLAIN, reject: CARRIES, tempfail: CARRIES, discard: CARRIES, quarantine: CARRIES, disconnect: CARRIES,
  },
  onRoute: { next: PLAIN, routed: PLAIN, hold: CARRIES, fail: CARRIES },
  onBounce: { next: PLAIN, notify: PLAIN, silent: PLAIN, retry: CARRIES, reroute: PLAIN, fail: PLAIN },
};

class Decision {
  constructor(kind, value) {
    this.kind = kind;
    if (value !== undefined) this.value = value;
    Object.freeze(this);
  }
}

const decision = (kind, value) => new Decision(kind, value);

/** From what a hook returned to what the host takes; throws in words for the author. */
export function toRawDecision(hook, given) {
  const legal = LEGAL[hook];
  if (!(given instanceof Decision) || !Object.hasOwn(legal, given.kind)) {
    throw new TypeError(`${hook} returned ${shown(given)}; it must return ${Object.keys(legal).join(", ")}`);
  }
  return legal[given.kind] === CARRIES ? { tag: given.kind, val: given.value } : { tag: given.kind };
}

function shown(given) {
  if (given === undefined) return "nothing";
  if (given instanceof Decision) return `${given.kind}()`;
  if (typeof given.then === "function") return "a promise (hooks are not async: every call of the relay answers at once)";
  return String(given).slice(0, 100);
}

function reply(kind, classes, usualCode, usualEnhanced, usualText, given) {
  const text = given.at(-1) ?? usualText;
  const code = given.length > 1 ? given[0] : usualCode;
  if (typeof text !== "string" || given.length > 3) {
    throw new TypeError(`${kind} takes a text, a code and a text, or code, enhanced code and text`);
  }
  if (!Number.isInteger(code) || !classes.includes(Math.trunc(code / 100))) {
    throw new RangeError(`${kind} needs a code of ${classes.map((one) => `${one}xx`).join(" or ")}, not ${code}`);
  }
  const enhanced = given.length > 2 ? given[1] : given.length > 1 ? null : usualEnhanced;
  return decision(kind, Object.freeze({ code, enhanced: status(kind, code, enhanced), text }));
}

function status(kind, code, text) {
  if (text == null) return null;
  const numbers = /^(\d)\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (numbers?.[0] !== Math.trunc(code / 100)) {
    throw new RangeError(`${kind} ${code} needs an enhanced code such as ${Math.trunc(code / 100)}.7.1, not ${text}`);
  }
  return Object.freeze(numbers);
}
