// What a script finds around it. Evaluated when the interpreter is built, with the relay's functions in `host`; its memory
// is part of the component, so nothing here costs a script or a call anything but what it uses.
//
// baton.d.ts describes all of it for editors; a test holds the two together.
(function (host) {
  "use strict";

  // ------------------------------------------------------------ small things

  const { freeze, defineProperty, entries, getOwnPropertyNames, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const { isArray } = Array;
  const { parse, stringify } = JSON;
  const world = globalThis;

  // Getters that ask the relay when they are read. What nobody reads costs nothing.
  const ask = (target, source, names) => {
    for (const name of names.split(" ")) defineProperty(target, name, { get: source[name], enumerable: true });
    return target;
  };
  const deepFreeze = (value) => {
    if (typeof value === "object" && value !== null) Object.values(freeze(value)).forEach(deepFreeze);
    return value;
  };
  const pairs = (object) => entries(object ?? {}).map(([name, value]) => [name, String(value)]);
  const UNITS = { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000, w: 604800000 };
  // "90s", "1h", "7d", or milliseconds.
  const duration = (value) => {
    if (value === undefined || typeof value === "number") return value;
    const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(value) ?? [];
    if (!unit) throw new TypeError(`not a duration: ${value}; for example 500, "90s", "1h", "7d"`);
    return number * UNITS[unit];
  };
  const octets = (value) => (typeof value === "string" || value instanceof Uint8Array ? value : String(value));

  class Address {
    constructor(local, domain) {
      this.local = local;
      this.domain = domain;
      freeze(this);
    }
    static parse(text) {
      const at = String(text).lastIndexOf("@");
      if (at < 1) throw new TypeError(`not an address: ${text}`);
      return new Address(text.slice(0, at), text.slice(at + 1).toLowerCase());
    }
    toString() {
      return `${this.local}@${this.domain}`;
    }
    toJSON() {
      return this.toString();
    }
  }
  const address = (pair) => pair && new Address(pair[0], pair[1]);
  const mailbox = (value) => {
    const { local, domain } = value instanceof Address ? value : Address.parse(value);
    return [local, domain];
  };
  const NO_PARAMS = freeze(Object.create(null));
  const params = (list) => {
    if (!list?.length) return NO_PARAMS;
    const object = Object.create(null);
    for (const [name, value] of list) object[name] = value ?? true;
    return freeze(object);
  };

  // ------------------------------------------------------------ decisions

  class Decision {
    constructor(kind, more) {
      this.kind = kind;
      Object.assign(this, more);
      freeze(this);
    }
  }
  // reject("text"), reject(550, "text"), reject(550, "5.7.1", "text")
  const reply = (kind, classes, code, enhanced, usual) => (...given) => {
    const text = given.pop() ?? usual;
    const chosen = given[0] ?? code;
    if (typeof text !== "string" || given.length > 2) {
      throw new TypeError(`${kind} takes a text, a code and a text, or code, enhanced code and text`);
    }
    if (!Number.isInteger(chosen) || !classes.includes(Math.trunc(chosen / 100))) {
      throw new RangeError(`${kind} needs a code of ${classes.map((one) => `${one}xx`).join(" or ")}, not ${chosen}`);
    }
    return new Decision(kind, { code: chosen, enhanced: status(kind, chosen, given[1] ?? (given.length ? undefined : enhanced)), text });
  };
  const status = (kind, code, text) => {
    if (text === undefined) return undefined;
    const numbers = /^(\d)\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
    if (numbers?.[0] !== Math.trunc(code / 100)) {
      throw new RangeError(`${kind} ${code} needs an enhanced code such as ${Math.trunc(code / 100)}.7.1, not ${text}`);
    }
    return freeze(numbers);
  };
  const reason = (kind, usual) => (text = usual) => new Decision(kind, { text: String(text) });
  const plain = (kind) => {
    const decision = new Decision(kind);
    return () => decision;
  };
  const decisions = {
    next: plain("next"),
    accept: plain("accept"),
    reject: reply("reject", [5], 550, "5.7.1", "Refused by policy"),
    tempfail: reply("tempfail", [4], 451, "4.7.1", "Try again later"),
    disconnect: reply("disconnect", [4, 5], 421, "4.7.0", "Closing the connection"),
    deny: reply("deny", [5], 535, "5.7.8", "Authentication failed"),
    fail: reply("fail", [5], 550, "5.7.1", "Refused by policy"),
    discard: reason("discard", "discarded by policy"),
    quarantine: reason("quarantine", "quarantined by policy"),
    hold: reason("hold", "held by policy"),
    allow: (account) => new Decision("allow", { text: String(account) }),
    routed: plain("routed"),
    notify: plain("notify"),
    silent: plain("silent"),
    reroute: plain("reroute"),
    retry: (after) => new Decision("retry", { ms: duration(after) }),
  };

  // ------------------------------------------------------------ the mail

  // Notes are texts or octets; JSON helpers for the rest.
  const notes = (source) =>
    freeze({
      get: (key) => source.note(key),
      getBytes: (key) => source.noteBytes(key),
      getJson: (key) => json(source.note(key)),
      set: (key, value) => source.setNote(key, octets(value)),
      setJson: (key, value) => source.setNote(key, stringify(value)),
      delete: (key) => source.setNote(key, undefined),
    });
  const json = (text) => (text === undefined ? undefined : parse(text));

  const session = ask({ notes: notes(host.session) }, host.session, "id listener remoteIp remotePort remoteName helo authenticatedAs iprev tls");

  const edit = host.envelope.change;
  const index = (which) => {
    if (typeof which === "number") return which;
    const wanted = String(which);
    const found = envelope.recipients.findIndex((recipient) => String(recipient) === wanted);
    if (found < 0) throw new RangeError(`${wanted} is not a recipient`);
    return found;
  };
  const envelope = ask(
    {
      notes: notes(host.envelope),
      get sender() {
        return address(host.envelope.sender());
      },
      get senderParams() {
        return params(host.envelope.senderParams());
      },
      get recipients() {
        return Array.from({ length: host.envelope.recipientCount() }, (_, at) => address(host.envelope.recipient(at)));
      },
      recipientParams: (which) => params(host.envelope.recipientParams(index(which))),
      setSender: (to) => edit.setSender(to ? mailbox(to) : undefined),
      addRecipient: (to) => edit.addRecipient(mailbox(to)),
      removeRecipient: (which) => edit.removeRecipient(index(which)),
      redirect: (which, to) => edit.redirect(index(which), (isArray(to) ? to : [to]).map(mailbox)),
      setStream: edit.setStream,
      setPriority: edit.setPriority,
      quarantine: edit.quarantine,
      tag: (name, value) => edit.tag(name, String(value)),
      score: edit.score,
    },
    host.envelope,
    "id tenant stream recipientCount priority totalScore",
  );

  class Part {
    #index;
    constructor(at) {
      this.#index = at;
    }
    static {
      for (const [name, get] of entries(host.part)) {
        if (typeof get !== "function") continue;
        defineProperty(Part.prototype, name, { get() { return get(this.#index); }, enumerable: true });
      }
    }
    header(name) {
      return host.part.ask.header(this.#index, name);
    }
    get range() {
      const [offset, length] = host.part.ask.rawRange(this.#index);
      return { offset, length };
    }
    read(offset = 0, length = 1 << 20) {
      return host.part.ask.read(this.#index, offset, length);
    }
    text({ max = 1 << 16, html = false } = {}) {
      return host.part.ask.text(this.#index, max, !html);
    }
    digest(algorithm = "sha-256") {
      return host.part.ask.digest(this.#index, algorithm);
    }
    urls(max = 100) {
      return host.part.ask.urls(this.#index, max);
    }
  }

  // A piece of the message as it is, for replaceBody: it is copied by the relay, not through the script.
  class Range {
    constructor(offset, length) {
      this.offset = offset;
      this.length = length;
      freeze(this);
    }
  }
  const piece = (value) => {
    if (value instanceof Range) return [value.offset, value.length];
    return typeof value === "string" ? value.replace(/\r\n|\r|\n/g, "\r\n") : octets(value);
  };
  const change = host.message.change;
  const message = ask(
    {
      header: host.message.header,
      headers: host.message.headers,
      rawHeader: host.message.rawHeader,
      addresses: (name) => host.message.addresses(name).map(([name, address]) => ({ name, address })),
      read: host.message.read,
      readText: host.message.readText,
      find: (needle, start = 0) => host.message.find(octets(needle), start),
      digest: (algorithm = "sha-256") => host.message.digest(algorithm),
      postRaw: (url, options) => new Response(host.message.postRaw(request(url, { method: "POST", ...options }))),
      parts: () => Array.from({ length: host.message.partCount() }, (_, at) => new Part(at)),
      get body() {
        const start = host.message.headerSize() + 2;
        return new Range(start, Math.max(host.message.size() - start, 0));
      },
      range: (offset, length) => new Range(offset, length),
      addHeader: (name, value) => change.addHeader(name, String(value)),
      insertHeader: (at, name, value) => change.insertHeader(at, name, String(value)),
      setHeader: (name, value) => change.setHeader(name, String(value)),
      removeHeader: change.removeHeader,
      replaceBody: (...pieces) => change.replaceBody(pieces.flat().map(piece)),
    },
    host.message,
    "size headerSize tooComplex headerNames",
  );

  // ------------------------------------------------------------ queue

  const route = host.routing.change;
  const routing = ask(
    {
      useMxOf: route.useMxOf,
      useHost: (name, port = 25) => route.useHost(name, port),
      useLmtp: route.useLmtp,
      useNextHop: route.useNextHop,
      addFallback: (name, port = 25) => route.addFallback(name, port),
      setQueue: route.setQueue,
      notBefore: (moment) => route.notBefore(Number(moment)),
      expireAfter: (after) => route.expireAfter(duration(after)),
    },
    host.routing,
    "attempt ageMs lastError",
  );
  const failure = ask(
    {
      get remoteReply() {
        return host.failure.change.remoteReply();
      },
      setClass: host.failure.change.setClass,
    },
    host.failure,
    "permanent remoteHost phase class",
  );
  const verify = (rcpt) => host.verify(mailbox(rcpt));

  // ------------------------------------------------------------ services

  class Bucket {
    #name;
    constructor(name) {
      this.#name = String(name);
    }
    get(key) {
      return host.kv.get(this.#name, key);
    }
    getBytes(key) {
      return host.kv.getBytes(this.#name, key);
    }
    getJson(key) {
      return json(host.kv.get(this.#name, key));
    }
    set(key, value, ttl) {
      host.kv.set(this.#name, key, octets(value), duration(ttl));
    }
    setJson(key, value, ttl) {
      host.kv.set(this.#name, key, stringify(value), duration(ttl));
    }
    setIfAbsent(key, value, ttl) {
      return host.kv.setIfAbsent(this.#name, key, octets(value), duration(ttl));
    }
    compareAndSet(key, expected, value, ttl) {
      const given = (value) => (value === undefined ? undefined : octets(value));
      return host.kv.compareAndSet(this.#name, key, given(expected), given(value), duration(ttl));
    }
    delete(key) {
      host.kv.delete(this.#name, key);
    }
    increment(key, delta = 1, ttl) {
      return host.kv.increment(this.#name, key, delta, duration(ttl));
    }
    take(key, cost, burst, period) {
      return host.kv.take(this.#name, key, cost, burst, duration(period));
    }
    scan(prefix = "", { cursor, limit = 100 } = {}) {
      return host.kv.scan(this.#name, prefix, cursor, limit);
    }
  }

  const TYPES = freeze({ A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, TLSA: 52, CAA: 257 });
  const typeNumber = (type) => {
    const number = typeof type === "number" ? type : TYPES[type];
    if (number === undefined) throw new TypeError(`not a record type: ${type}`);
    return number;
  };
  // The records; none when the name or the type is not there; an error when nobody could tell.
  const records = (name, type) => {
    const answer = host.dns.lookup(name, TYPES[type]);
    if (answer.rcode !== 0 && answer.rcode !== 3) {
      throw Object.assign(new Error(`dns: ${name} ${type}: response code ${answer.rcode}`), { code: "failed" });
    }
    return answer.records;
  };
  // "v=spf1 " "-all" as records are written is one text.
  const unquoted = (record) => {
    const strings = [...record.matchAll(/"((?:[^"\\]|\\.)*)"/gs)].map(([, text]) => text);
    return (strings.length ? strings.join("") : record).replace(/\\(\d{3}|.)/gs, (_, escape) =>
      escape.length === 3 ? String.fromCharCode(escape) : escape);
  };
  const reversed = (ip) => {
    if (!ip.includes(":")) return `${ip.split(".").reverse().join(".")}.in-addr.arpa`;
    const [head, tail] = ip.split("::").map((half) => (half ? half.split(":") : []));
    const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail] : head;
    return `${[...groups.map((group) => group.padStart(4, "0")).join("")].reverse().join(".")}.ip6.arpa`;
  };
  const dns = {
    a: (name) => records(name, "A"),
    aaaa: (name) => records(name, "AAAA"),
    txt: (name) => records(name, "TXT").map(unquoted),
    ptr: (ip) => records(reversed(ip), "PTR"),
    mx: (name) =>
      records(name, "MX").map((record) => {
        const [preference, host] = record.split(/\s+/);
        return { preference: Number(preference), host };
      }),
    lookup: (name, type) => host.dns.lookup(name, typeNumber(type)),
    lookupMany: (queries) => host.dns.lookupMany(queries.map(([name, type]) => [name, typeNumber(type)])),
    blocklists: (zones, subject) =>
      host.dns.blocklists(zones, String(subject)).map((answer, at) => {
        const { addresses = [], code, error } = answer;
        return { zone: zones[at], listed: addresses.length > 0, addresses, code, error };
      }),
  };

  class Response {
    constructor({ status, headers, body }) {
      this.status = status;
      this.ok = status >= 200 && status < 300;
      this.headers = headers.map(([name, value]) => [name.toLowerCase(), value]);
      this.bytes = body;
    }
    header(name) {
      const wanted = name.toLowerCase();
      return this.headers.find(([name]) => name === wanted)?.[1];
    }
    text() {
      return host.system.decode(this.bytes);
    }
    json() {
      return parse(this.text());
    }
  }
  const request = (url, { method, headers, body, timeout, maxResponse } = {}) => ({
    method: method ?? (body === undefined ? "GET" : "POST"),
    url: String(url),
    headers: pairs(headers),
    body: body === undefined ? undefined : octets(body),
    timeout: duration(timeout),
    maxResponse,
  });
  const http = {
    fetch: (url, options) => new Response(host.http.fetch(request(url, options))),
    fetchMany: (requests) =>
      host.http
        .fetchMany(requests.map((one) => (isArray(one) ? request(...one) : request(one))))
        .map((answer) => (answer.error === undefined ? new Response(answer) : answer)),
  };

  const shown = (value) => (typeof value === "string" ? value : value instanceof Error ? String(value) : stringify(value) ?? String(value));
  const logger = (level) => (text, fields) => host.system.log(level, shown(text), pairs(fields));
  const log = { trace: logger(0), debug: logger(1), info: logger(2), warn: logger(3), error: logger(4) };
  const printer = (level) => (...values) => host.system.log(level, values.map(shown).join(" "), []);
  const console = { debug: printer(1), log: printer(2), info: printer(2), warn: printer(3), error: printer(4) };
  const metrics = {
    count: (name, value = 1, labels) => host.metrics.count(name, value, pairs(labels)),
    gauge: (name, value, labels) => host.metrics.gauge(name, value, pairs(labels)),
    observe: (name, value, labels) => host.metrics.observe(name, value, pairs(labels)),
  };
  const clock = { now: host.system.now, remaining: host.system.remaining };

  // ------------------------------------------------------------ the language's own, made fit

  // QuickJS seeds Math.random before the snapshot: every call would draw the same numbers.
  const { random } = host.system;
  Math.random = () => {
    const [a, b, c, d, e, f, g] = random(7);
    return ((a & 31) * 2 ** 48 + b * 2 ** 40 + c * 2 ** 32 + d * 2 ** 24 + e * 2 ** 16 + f * 2 ** 8 + g) / 2 ** 53;
  };
  const crypto = {
    getRandomValues: (array) => {
      new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(random(array.byteLength));
      return array;
    },
    randomUUID: () => {
      const octets = random(16);
      octets[6] = (octets[6] & 15) | 64;
      octets[8] = (octets[8] & 63) | 128;
      const digits = Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");
      return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    },
  };
  class TextEncoder {
    encode(text = "") {
      return host.system.encode(String(text));
    }
  }
  class TextDecoder {
    decode(octets = new Uint8Array()) {
      return host.system.decode(octets instanceof ArrayBuffer ? new Uint8Array(octets) : octets);
    }
  }
  // The relay's clock, not the machine's: a test can set it.
  const RealDate = Date;
  function RelayDate(...given) {
    if (!new.target) return new RealDate(host.system.now()).toString();
    return Reflect.construct(RealDate, given.length ? given : [host.system.now()], new.target);
  }
  RelayDate.prototype = RealDate.prototype;
  RealDate.prototype.constructor = RelayDate;
  Object.assign(RelayDate, { now: host.system.now, UTC: RealDate.UTC, parse: RealDate.parse });
  defineProperty(RelayDate, "name", { value: "Date" });

  // Text can not become code.
  const closed = (constructor) => {
    const refuse = function () {
      throw new EvalError("text can not become code here");
    };
    refuse.prototype = constructor.prototype;
    defineProperty(constructor.prototype, "constructor", { value: refuse });
    return refuse;
  };
  const kinds = [async () => {}, function* () {}, async function* () {}];
  for (const kind of kinds) closed(getPrototypeOf(kind).constructor);
  const closedFunction = closed(Function);
  delete world.eval;

  class ConfigError extends Error {
    constructor(setting, message) {
      super(message);
      this.setting = String(setting);
    }
    get name() {
      return "ConfigError";
    }
  }

  const globals = {
    ...decisions, Address, ConfigError, session, envelope, message, routing, failure, verify, kv: (name) => new Bucket(name), dns, http,
    log, console, metrics, clock, crypto, TextEncoder, TextDecoder, secret: host.system.secret,
    Date: RelayDate, Function: closedFunction,
  };
  for (const [name, value] of entries(globals)) {
    defineProperty(world, name, { value, writable: true, configurable: true });
  }

  // ------------------------------------------------------------ hooks

  const LEGAL = {
    onConnect: "next accept reject tempfail",
    onAuth: "next allow deny tempfail disconnect",
    onRcpt: "next accept reject tempfail discard disconnect",
    onData: "next accept reject tempfail discard quarantine disconnect",
    onRoute: "next routed hold fail",
    onBounce: "next notify silent retry reroute fail",
  };
  class BadDecision extends TypeError {
    get name() {
      return "BadDecision";
    }
  }
  const returned = (value) => {
    if (value === undefined) return "nothing";
    if (value instanceof Decision) return `${value.kind}()`;
    if (value instanceof Promise) return "a promise (hooks are not async: every call of the relay answers at once)";
    if (typeof value === "function") return `a function (${value.name || "anonymous"}: call it)`;
    return shown(value).slice(0, 100);
  };
  const decided = (hook, legal, value) => {
    if (value instanceof Decision && legal.has(value.kind)) return value;
    throw new BadDecision(`${hook} returned ${returned(value)}; it must return ${[...legal].join(", ")}`);
  };
  const GIVEN = {
    onConnect: () => [],
    onAuth: (mechanism, user, password, token) => [{ mechanism, user, password, token }],
    onRcpt: (local, domain, list) => [new Address(local, domain), params(list)],
    onData: () => [],
    onRoute: (local, domain) => [new Address(local, domain)],
    onBounce: (local, domain) => [new Address(local, domain)],
  };
  // Each answers, for the function that a script exports, what the relay calls.
  const hooks = { onEvents: (script) => (batch) => void script(batch) };
  for (const [hook, given] of entries(GIVEN)) {
    const legal = new Set(LEGAL[hook].split(" "));
    hooks[hook] = (script) => (...told) => decided(hook, legal, script(...given(...told)));
  }

  // ------------------------------------------------------------ closing

  // In an instance that is used again, one message must not change what the next one meets. Frozen prototypes break
  // assignments such as `error.name = "…"` and `object.toString = …`; the properties that are often shadowed that way
  // become accessors which shadow.
  const shadowable = (prototype) => {
    for (const name of getOwnPropertyNames(prototype)) {
      const { value, configurable, enumerable, writable } = getOwnPropertyDescriptor(prototype, name);
      if (!writable || !configurable) continue;
      defineProperty(prototype, name, {
        enumerable,
        get: () => value,
        set(other) {
          if (this === prototype) throw new TypeError(`${name} of a built-in object can not be changed`);
          defineProperty(this, name, { value: other, writable: true, configurable: true, enumerable: true });
        },
      });
    }
  };
  const errors = [Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError];
  [Object, Function, ...errors].forEach(({ prototype }) => shadowable(prototype));
  const seen = new Set([world]);
  const harden = (value) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
    seen.add(value);
    harden(getPrototypeOf(value));
    for (const name of Reflect.ownKeys(value)) {
      const property = getOwnPropertyDescriptor(value, name);
      harden(property.value);
      harden(property.get);
      harden(property.set);
    }
    freeze(value);
  };
  kinds.forEach(harden);
  [[][Symbol.iterator](), new Map().entries(), new Set().entries(), ""[Symbol.iterator](), "".matchAll(/a/g)].forEach(harden);
  for (const name of getOwnPropertyNames(world)) {
    harden(world[name]);
    defineProperty(world, name, { writable: false, configurable: false });
  }
  // The settings are there when the script is; all else was made before.
  hooks.configure = (settings) => {
    defineProperty(world, "config", { value: deepFreeze(settings ?? {}), enumerable: true });
  };
  return hooks;
})
