// What authors of plugins import.

export { Address } from "./address.js";
export {
  accept, allow, deny, discard, disconnect, fail, hold, next, notify, quarantine, reject, reroute, retry, routed, silent,
  tempfail,
} from "./decision.js";
export { dns } from "./dns.js";
export { envelope } from "./envelope.js";
export { HostError } from "./host.js";
export { http } from "./http.js";
export { kv } from "./kv.js";
export { message } from "./message.js";
export { toHex, toOctets, toText } from "./octets.js";
export { config, secret } from "./plugin.js";
export { clock, failure, log, metrics, routing, verify } from "./services.js";
export { session } from "./session.js";
