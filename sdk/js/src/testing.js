// A relay made up for one test: plain JavaScript, so that hooks run in Node, with a debugger if need be.

import { Address } from "./address.js";
import { connect } from "./host.js";
import { toOctets, toText } from "./octets.js";
import { adapt, HOOKS } from "./plugin.js";

/** What the host answers to a call that it can not serve. */
const denied = { tag: "denied" };
const nothing = () => null;

/** One world: what the plugin reads is given to the constructor, what it did is read from `edits`, `logs`, `metrics`. */
export class TestHost {
  edits = [];
  logs = [];
  metrics = {};
  #buckets;

  constructor(world = {}) {
    this.world = world;
    this.#buckets = new Map(Object.entries(world.kv ?? {}).map(([name, values]) => [name, new Map(Object.entries(values))]));
  }

  /** Calls a hook of a plugin ("data", "rcpt", …) as the relay would, and answers its decision. */
  run(plugin, hook, ...given) {
    const { name } = HOOKS[hook];
    if (typeof plugin[name] !== "function") throw new TypeError(`the plugin has no ${name}`);
    let decision;
    const watched = { init: plugin.init, [name]: () => (decision = plugin[name](...given.map(fromTest))) };
    connect(this.#interfaces());
    const { lifecycle, [hook]: found } = adapt(watched);
    lifecycle.init();
    found[name](...STAND_IN[hook]);
    return decision;
  }

  /** What `init` finds wrong with the settings. */
  problems(plugin) {
    connect(this.#interfaces());
    try {
      adapt(plugin).lifecycle.init();
      return [];
    } catch (thrown) {
      if (Array.isArray(thrown)) return thrown;
      throw thrown;
    }
  }

  /** What stands in a bucket now. */
  kv(bucket) {
    return Object.fromEntries(this.#buckets.get(bucket) ?? []);
  }

  #interfaces() {
    const { config = {}, secrets = {}, now = 1_767_225_600_000 } = this.world;
    return {
      log: { emit: (level, message, fields) => void this.logs.push({ level, message, fields: Object.fromEntries(fields) }) },
      config: { json: () => JSON.stringify(config), get: nothing, secret: (name) => secrets[name] ?? null },
      kv: { Bucket: { open: (name) => this.#bucket(name) } },
      dns: this.#dns(),
      http: this.#http(),
      metrics: this.#metrics(),
      clock: { nowMs: () => now, remainingMs: () => 1000 },
      session: facts(this.world.session, { id: "s1", listener: "smtp", remoteIp: "192.0.2.1", remotePort: 40000, iprev: "permerror" }, this.#notes("session")),
      envelope: this.#envelope(),
      message: this.#message(),
      routing: facts(this.world.routing, { attempt: 0, ageMs: 0 }, this.#recorders(ROUTING)),
      failure: facts(this.world.failure, { permanent: true, phase: "rcpt", class: "unknown" }, this.#recorders(["setClass"])),
      verify: { recipient: (to) => this.world.verify?.(new Address(to.local, to.domain)) ?? thrown(denied) },
    };
  }

  #recorders(names) {
    return Object.fromEntries(names.map((name) => [name, (...given) => void this.edits.push([name, ...given])]));
  }

  #notes(home) {
    const notes = this.world[`${home}Notes`] ?? {};
    return {
      note: (key) => (Object.hasOwn(notes, key) ? toOctets(notes[key]) : null),
      setNote: (key, value) => void this.edits.push([`${home}Note`, key, value && toText(value)]),
    };
  }

  #envelope() {
    const { recipients = [], sender, ...known } = this.world.envelope ?? {};
    return {
      ...facts(known, { id: "m1", priority: 0, totalScore: 0 }, this.#recorders(ENVELOPE)),
      sender: () => (sender ? Address.parse(sender) : null),
      senderParams: () => [],
      recipientCount: () => recipients.length,
      recipient: (index) => (recipients[index] ? Address.parse(recipients[index]) : null),
      recipientParams: () => [],
      ...this.#notes("message"),
    };
  }

  #message() {
    const { headers = [], parts = [], octets = "" } = this.world.message ?? {};
    const values = (name) => headers.filter(([given]) => given.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
    const raw = toOctets(octets);
    return {
      ...facts({}, { size: raw.length, headerSize: 0 }, this.#recorders(["addHeader", "insertHeader"])),
      header: (name) => values(name)[0] ?? null,
      headers: values,
      headerNames: () => headers.map(([name]) => name),
      rawHeader: (name) => (values(name)[0] === undefined ? null : toOctets(values(name)[0])),
      addresses: (name) => values(name).map((value) => ["", value]),
      read: (offset, length) => raw.slice(offset, offset + length),
      find: (needle, start) => found(toText(raw).indexOf(toText(needle), start)),
      digest: () => thrown("digests are there in `baton plugin test` only"),
      postRaw: (request) => this.#http().fetch(request),
      partCount: () => parts.length,
      getPart: (index) => (parts[index] ? part(parts[index]) : null),
      setHeader: (name, value) => this.edits.push(["setHeader", name, value]) && values(name).length,
      removeHeader: (name) => this.edits.push(["removeHeader", name]) && values(name).length,
      replaceBody: () => this.#bodyWriter(),
    };
  }

  #bodyWriter() {
    const pieces = [];
    return {
      write: (chunk) => void pieces.push(toText(chunk)),
      copy: (offset, length) => void pieces.push({ offset, length }),
      finish: () => void this.edits.push(["replaceBody", ...pieces]),
    };
  }

  #bucket(name) {
    if (!this.#buckets.has(name)) this.#buckets.set(name, new Map());
    const values = this.#buckets.get(name);
    const read = (key) => (values.has(key) ? toOctets(String(values.get(key))) : null);
    const write = (key, value) => void (value === null ? values.delete(key) : values.set(key, toText(value)));
    return {
      get: read,
      set: write,
      setIfAbsent: (key, value) => !values.has(key) && (write(key, value), true),
      compareAndSet: (key, expected, value) =>
        (values.has(key) ? String(values.get(key)) : null) === (expected && toText(expected)) && (write(key, value), true),
      delete: (key) => void values.delete(key),
      increment: (key, delta) => values.set(key, Number(values.get(key) ?? 0) + delta).get(key),
      take: (key, cost, burst) => take(values, key, cost, burst),
      scan: (prefix, _cursor, limit) => ({ keys: [...values.keys()].filter((key) => key.startsWith(prefix)).sort().slice(0, limit), cursor: null }),
    };
  }

  #dns() {
    const { dns = {}, blocklists = {} } = this.world;
    const lookup = ({ name }) => ({ rcode: dns[name] ? 0 : 3, authenticated: false, ttl: 60, records: dns[name] ?? [] });
    const ok = (val) => ({ tag: "ok", val });
    return {
      lookup,
      lookupMany: (queries) => queries.map((query) => ok(lookup(query))),
      blocklists: (zones, subject) => zones.map((zone) => ok(blocklists[zone]?.[subject] ?? [])),
    };
  }

  #http() {
    const fetch = (request) => {
      const { status = 200, headers = {}, body = "" } = this.world.http?.(request) ?? thrown(denied);
      return { status, headers: Object.entries(headers), body: toOctets(typeof body === "string" ? body : JSON.stringify(body)) };
    };
    return { fetch, fetchMany: (requests) => requests.map((request) => ({ tag: "ok", val: fetch(request) })) };
  }

  #metrics() {
    const keep = (name, value) => void (this.metrics[name] = value);
    return { count: (name, value) => keep(name, (this.metrics[name] ?? 0) + value), gauge: keep, observe: keep };
  }
}

const ENVELOPE = [
  "setSender", "addRecipient", "removeRecipient", "redirect", "setMessageStream", "setPriority", "quarantine", "tag", "score",
];
const ROUTING = [
  "useMxOf", "useHost", "useLmtp", "useNextHop", "addFallback", "setQueue", "notBefore", "expireAfter",
];
const GETTERS = ["remoteName", "helo", "authenticatedAs", "tls", "tenant", "messageStream", "tooComplex", "lastError", "remoteHost", "remoteReply"];

/** Functions that answer what is known, or nothing. */
function facts(known = {}, defaults, functions) {
  const all = { ...Object.fromEntries(GETTERS.map((name) => [name, null])), ...defaults, ...known };
  return { ...Object.fromEntries(Object.entries(all).map(([name, value]) => [name, () => value])), ...functions };
}

function part({ contentType = "application/octet-stream", disposition = null, filename = null, charset = null, content = "", urls = [] }) {
  const octets = toOctets(content);
  return {
    contentType: () => contentType,
    disposition: () => disposition,
    filename: () => filename,
    charset: () => charset,
    transferEncoding: () => "7bit",
    header: nothing,
    within: () => ["mixed"],
    rawRange: () => [0, octets.length],
    decodedSize: () => octets.length,
    read: (offset, length) => octets.slice(offset, offset + length),
    text: (max) => toText(octets).slice(0, max),
    digest: () => thrown("digests are there in `baton plugin test` only"),
    urls: (max) => urls.slice(0, max),
  };
}

function take(values, key, cost, burst) {
  const left = Number(values.get(key) ?? burst);
  const allowed = left >= cost;
  if (allowed) values.set(key, left - cost);
  return { allowed, remaining: allowed ? left - cost : left, retryAfterMs: allowed ? 0 : 1000 };
}

/** Recipients may be given to `run` as texts. */
const fromTest = (given, index) => (index === 0 && typeof given === "string" ? Address.parse(given) : given);

/** What the relay would give; the hook under test gets what the test gives instead. */
const RECIPIENT = { local: "nobody", domain: "nowhere.example" };
const STAND_IN = { connect: [], auth: ["", "", {}], rcpt: [RECIPIENT, []], data: [], route: [RECIPIENT], bounce: [RECIPIENT], events: [[]] };

const found = (index) => (index < 0 ? null : index);

function thrown(error) {
  throw error;
}
