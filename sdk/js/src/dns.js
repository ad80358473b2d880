import { ask, asHostError, HostError, raw } from "./host.js";

/** Numbers of the record types that have a name here (IANA); others are given as numbers. */
const TYPES = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, DS: 43, TLSA: 52, CAA: 257 };
const NO_ERROR = 0;
const NO_SUCH_NAME = 3;

/** DNS through the relay's resolver and cache (grant: dns). No such name is an empty list; no answer is thrown. */
export const dns = Object.freeze({
  a: (name) => records(name, "A"),
  aaaa: (name) => records(name, "AAAA"),
  txt: (name) => records(name, "TXT").map(unquoted),
  ptr: (ip) => records(reversed(ip), "PTR"),
  mx: (name) =>
    records(name, "MX").map((record) => {
      const [preference, host] = record.split(/\s+/);
      return { preference: Number(preference), host };
    }),
  lookup: (name, type) => ask(`dns ${name}`, () => raw.dns.lookup(query(name, type))),
  /** All at once: [["a.example", "A"], …]. An answer that failed has `code` and `error`. */
  lookupMany: (queries) =>
    raw.dns.lookupMany(queries.map(([name, type]) => query(name, type))).map((result, index) =>
      result.tag === "ok" ? result.val : failed(`dns ${queries[index][0]}`, result.val)),
  /** Asks all lists about an address or a domain at once. */
  blocklists: (zones, subject) =>
    raw.dns.blocklists(zones, String(subject)).map((result, index) => {
      const zone = zones[index];
      if (result.tag === "ok") return { zone, listed: result.val.length > 0, addresses: result.val };
      return { zone, listed: false, addresses: [], ...failed(`dns ${zone}`, result.val) };
    }),
});

/** An error in the place of an answer. */
export function failed(what, error) {
  const { code, message } = asHostError(what, error);
  return { code, error: message };
}

function query(name, type) {
  const rrType = typeof type === "number" ? type : TYPES[type];
  if (!rrType) throw new TypeError(`not a record type with a name here: ${type}; give its IANA number`);
  return { name, rrType };
}

function records(name, type) {
  const answer = dns.lookup(name, type);
  if (answer.rcode !== NO_ERROR && answer.rcode !== NO_SUCH_NAME) {
    throw new HostError("failed", `dns ${name} ${type}: response code ${answer.rcode}`);
  }
  return answer.records;
}

/** `"v=spf1 " "-all"` as records are written is one text. */
function unquoted(record) {
  const strings = [...record.matchAll(/"((?:[^"\\]|\\.)*)"/gs)].map(([, text]) => text);
  const whole = strings.length > 0 ? strings.join("") : record;
  return whole.replace(/\\(\d{3}|.)/gs, (_, escape) => (escape.length === 3 ? String.fromCharCode(escape) : escape));
}

function reversed(ip) {
  if (!ip.includes(":")) return `${ip.split(".").reverse().join(".")}.in-addr.arpa`;
  const [head, tail] = ip.split("::").map((half) => (half ? half.split(":") : []));
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail] : head;
  return `${[...groups.map((group) => group.padStart(4, "0")).join("")].reverse().join(".")}.ip6.arpa`;
}
