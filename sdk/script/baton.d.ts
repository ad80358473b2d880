// Types of Baton's scripted policies, for editors and `tsc`. `baton policy types > baton.d.ts` writes this file; an editor
// finds it beside the scripts, or by `/// <reference path="baton.d.ts" />` in the first line.
//
// A policy is an ES module that exports the hooks it wants:
//
//   export function onRcpt(rcpt: Address): RcptDecision { … }
//
// Every call of the relay answers at once: there are no promises. What is not there is `undefined`. What the relay
// refuses (no grant, not possible at this hook, not valid) is thrown as an `Error` with the reason; an error that the
// script does not catch makes the plugin fail, and its `on_failure` answers.

// ---------------------------------------------------------------- hooks

type ConnectDecision = Decision<"next" | "accept" | "reject" | "tempfail">;
type AuthDecision = Decision<"next" | "allow" | "deny" | "tempfail" | "disconnect">;
type RcptDecision = Decision<"next" | "accept" | "reject" | "tempfail" | "discard" | "disconnect">;
type DataDecision = Decision<"next" | "accept" | "reject" | "tempfail" | "discard" | "quarantine" | "disconnect">;
type RouteDecision = Decision<"next" | "routed" | "hold" | "fail">;
type BounceDecision = Decision<"next" | "notify" | "silent" | "retry" | "reroute" | "fail">;

/** A client connected; nothing was said yet. */
type OnConnect = () => ConnectDecision;
/** A client wants to authenticate. When all plugins say `next`, it is refused. */
type OnAuth = (given: Credential) => AuthDecision;
/** RCPT TO. The recipient is also the last one of the envelope. */
type OnRcpt = (rcpt: Address, params: Params) => RcptDecision;
/** The whole message is here and not yet accepted. */
type OnData = () => DataDecision;
/** A copy for this recipient is due: `routing` says where it goes. */
type OnRoute = (rcpt: Address) => RouteDecision;
/** An attempt for this recipient failed: `failure` says how. */
type OnBounce = (rcpt: Address) => BounceDecision;
/** What happened, batched, off the mail path. What it returns is not looked at. */
type OnEvents = (batch: RelayEvent[]) => void;

/** What a hook answers; made by the functions below. */
interface Decision<Kind extends string = string> {
  readonly kind: Kind;
}
interface Credential {
  readonly mechanism: string;
  readonly user: string;
  /** One of the two is there. */
  readonly password?: string;
  readonly token?: string;
}
interface RelayEvent {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** "accepted", "rejected", "delivered", "deferred", "failed", …; ignore what you do not know. */
  readonly kind: string;
  readonly session?: string;
  readonly message?: string;
  readonly fields: Record<string, string>;
}
/** ESMTP parameters of MAIL or RCPT by name, in upper case; `true` for one without a value. */
type Params = Readonly<Record<string, string | true>>;

// ---------------------------------------------------------------- decisions

/** Ask the next plugin. */
declare function next(): Decision<"next">;
/** Ask no more plugins at this hook. At `onRcpt` it lets the recipient in even where the relay would not (grant: relay). */
declare function accept(): Decision<"accept">;
/** Refuse for good: 550 5.7.1 unless other codes are given. */
declare function reject(text?: string): Decision<"reject">;
declare function reject(code: number, text: string): Decision<"reject">;
declare function reject(code: number, enhanced: string, text: string): Decision<"reject">;
/** Refuse for now: 451 4.7.1 unless other codes are given. */
declare function tempfail(text?: string): Decision<"tempfail">;
declare function tempfail(code: number, text: string): Decision<"tempfail">;
declare function tempfail(code: number, enhanced: string, text: string): Decision<"tempfail">;
/** Refuse and close the connection: 421 4.7.0 unless other codes are given. */
declare function disconnect(text?: string): Decision<"disconnect">;
declare function disconnect(code: number, text: string): Decision<"disconnect">;
declare function disconnect(code: number, enhanced: string, text: string): Decision<"disconnect">;
/** Answer 250 and drop the recipient or the message. */
declare function discard(reason?: string): Decision<"discard">;
/** Accept the message and hold it for an operator. */
declare function quarantine(reason?: string): Decision<"quarantine">;
/** Let the client in as that account. */
declare function allow(account: string): Decision<"allow">;
/** Do not let the client in: 535 5.7.8 unless other codes are given. */
declare function deny(text?: string): Decision<"deny">;
declare function deny(code: number, text: string): Decision<"deny">;
declare function deny(code: number, enhanced: string, text: string): Decision<"deny">;
/** Use what `routing` was told, and ask no more plugins. */
declare function routed(): Decision<"routed">;
/** Keep this copy for an operator. */
declare function hold(reason?: string): Decision<"hold">;
/** This copy can not be delivered: 550 5.7.1 unless other codes are given. At `onBounce`: a permanent failure. */
declare function fail(text?: string): Decision<"fail">;
declare function fail(code: number, text: string): Decision<"fail">;
declare function fail(code: number, enhanced: string, text: string): Decision<"fail">;
/** Give up and report to the sender. */
declare function notify(): Decision<"notify">;
/** Give up without a report. */
declare function silent(): Decision<"silent">;
/** Try again after that time. */
declare function retry(after: Duration): Decision<"retry">;
/** Ask the route hook again at once. */
declare function reroute(): Decision<"reroute">;

// ---------------------------------------------------------------- values

/** Milliseconds, or a text such as "500ms", "90s", "5m", "1h", "7d", "2w". */
type Duration = number | string;
/** Octets, or a text that stands for its UTF-8. */
type Octets = string | Uint8Array;

/** A mailbox. As a text (`${rcpt}`) it is `local@domain`. */
declare class Address {
  constructor(local: string, domain: string);
  static parse(text: string): Address;
  /** Exactly as it was given, quotes included. */
  readonly local: string;
  /** In its ASCII form, lower case. */
  readonly domain: string;
  toString(): string;
  toJSON(): string;
}

/** An error of a service (kv, dns, http, verify) says what kind it is. */
interface ServiceError extends Error {
  /** "denied" (no grant), "timeout", "failed"; kv: "quota", "too-large", "unavailable"; dns: "bad-name"; http: "too-large". */
  readonly code: string;
}

/** Notes of a session or of a message: private to the plugin unless the key starts with "shared/"; 64 KiB in all. */
interface Notes {
  get(key: string): string | undefined;
  getBytes(key: string): Uint8Array | undefined;
  getJson(key: string): any;
  set(key: string, value: Octets): void;
  setJson(key: string, value: unknown): void;
  delete(key: string): void;
}

// ---------------------------------------------------------------- the mail

/** What protects a connection. */
interface Tls {
  /** "TLSv1.3" or "TLSv1.2". */
  readonly version: string;
  /** By its registered name, such as "TLS_AES_256_GCM_SHA384". */
  readonly cipher: string;
  /** The name that the client asked for (SNI). */
  readonly serverName?: string;
  /** Whom the client's certificate names, when it is trusted. */
  readonly verifiedSubject?: string;
  /** What the client showed of itself, trusted or not: `distrust` says why it proves nothing. */
  readonly certificate?: { readonly subject: string; readonly sha256: string; readonly distrust?: string };
}

/** The SMTP session. At the route and bounce hooks it is the one that the message came in by. */
declare const session: {
  readonly id: string;
  /** The listener's name in the settings; "internal" for messages that the relay made itself. */
  readonly listener: string;
  /** The client's address; empty for messages that the relay made itself. */
  readonly remoteIp: string;
  readonly remotePort: number;
  /** Forward-confirmed reverse name, looked up on first use. */
  readonly remoteName?: string;
  readonly helo?: string;
  /** The account that the client authenticated as. */
  readonly authenticatedAs?: string;
  /** What came of looking for the client's name and for the way back from it (RFC 8601 2.7.3), looked up on first use. */
  readonly iprev?: "pass" | "fail" | "permerror" | "temperror";
  /** What protects the connection; undefined in plain text. */
  readonly tls?: Tls;
  readonly notes: Notes;
};

/** The envelope. Read-only at the route and bounce hooks, empty at connect and auth. */
declare const envelope: {
  /** The message's name in logs and in `baton explain`. */
  readonly id: string;
  readonly tenant?: string;
  readonly stream?: string;
  /** The return path; undefined for the null sender. */
  readonly sender?: Address;
  readonly senderParams: Params;
  readonly recipients: Address[];
  readonly recipientCount: number;
  /** -9 to 9 (RFC 6710); what is higher leaves first. */
  readonly priority: number;
  readonly totalScore: number;
  readonly notes: Notes;
  recipientParams(recipient: number | string | Address): Params;
  /** Grant: edit = ["sender"]. */
  setSender(to: string | Address | undefined): void;
  /** Grant: edit = ["recipients"], as for the next two. Not at the rcpt hook. */
  addRecipient(to: string | Address): void;
  removeRecipient(recipient: number | string | Address): void;
  /** Puts other mailboxes in its place. At the rcpt hook only for the one at hand. */
  redirect(recipient: number | string | Address, to: string | Address | (string | Address)[]): void;
  setStream(name: string): void;
  setPriority(priority: number): void;
  /** Holds the message for an operator, whatever is decided later, unless it is refused. */
  quarantine(reason: string): void;
  /** A tag that stays with the message and is shown to operators. */
  tag(name: string, value: string | number): void;
  /** Points; they add up over all plugins, and the operator's thresholds act on the sum. */
  score(symbol: string, points: number): void;
};

/** The message, at the data, route and bounce hooks. It stays in the relay: a script pays for what it reads. */
declare const message: {
  /** Octets in all. */
  readonly size: number;
  readonly headerSize: number;
  /** Why the header was not read; then there seem to be no fields. */
  readonly tooComplex?: string;
  readonly headerNames: string[];
  /** All that stands behind the header, as a piece for `replaceBody`. */
  readonly body: Range;
  /** First value of that name, unfolded and decoded. */
  header(name: string): string | undefined;
  headers(name: string): string[];
  /** First value as it stands in the message. */
  rawHeader(name: string): string | undefined;
  /** The mailboxes of all fields of that name. */
  addresses(name: string): { name: string; address: string }[];
  /** Raw octets; at most 1 MiB a call. */
  read(offset: number, length: number): Uint8Array;
  readText(offset: number, length: number): string;
  /** Where it stands first at or after `start`; searched in the relay. */
  find(needle: Octets, start?: number): number | undefined;
  /** In hexadecimal. "sha-256" (default), "sha-1" or "md5". */
  digest(algorithm?: string): string;
  /** Sends the raw message with its edits as the body of a request. Grant: http. */
  postRaw(url: string, options?: Omit<RequestOptions, "body">): Response;
  /** The leaves of the MIME tree. */
  parts(): Part[];
  /** A piece of the message as it is, for `replaceBody`. */
  range(offset: number, length: number): Range;
  /** Grant: edit = ["headers"], as for the next three. At the data hook only. */
  addHeader(name: string, value: string | number): void;
  /** Index 0 is the top. */
  insertHeader(index: number, name: string, value: string | number): void;
  /** Replaces all fields of that name. Answers how many there were. */
  setHeader(name: string, value: string | number): number;
  removeHeader(name: string): number;
  /** Puts a body of these pieces in the place of the old one. Line ends of texts become CRLF. Grant: edit = ["body"]. */
  replaceBody(...pieces: (Octets | Range | (Octets | Range)[])[]): void;
};

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** A leaf of the MIME tree. */
interface Part {
  /** In lower case, such as "text/plain". */
  readonly contentType: string;
  /** "inline", "attachment" or another one. */
  readonly disposition?: string;
  readonly filename?: string;
  readonly charset?: string;
  readonly transferEncoding: string;
  /** Subtypes of the enclosing multiparts from the outermost. */
  readonly within: string[];
  /** Octets after decoding. */
  readonly size: number;
  /** Where its encoded content stands in the raw message. */
  readonly range: { offset: number; length: number };
  header(name: string): string | undefined;
  /** Decoded octets; at most 1 MiB a call. */
  read(offset?: number, length?: number): Uint8Array;
  /** At most `max` characters (64 Ki); HTML is reduced to text unless `html` is true. */
  text(options?: { max?: number; html?: boolean }): string;
  digest(algorithm?: string): string;
  /** Links in text and HTML, without repetitions. */
  urls(max?: number): string[];
}

// ---------------------------------------------------------------- queue

/** Where a copy goes next (route hook). Targets need a grant: route = ["mx", "host:*.example", "NEXT-HOP"]. */
declare const routing: {
  /** Finished attempts so far; these three also at the bounce hook. */
  readonly attempt: number;
  readonly ageMs: number;
  readonly lastError?: string;
  useMxOf(domain: string): void;
  useHost(host: string, port?: number): void;
  /** "host:port" or "unix:/path". */
  useLmtp(target: string): void;
  /** A next hop that the settings name. */
  useNextHop(name: string): void;
  addFallback(host: string, port?: number): void;
  setQueue(name: string): void;
  notBefore(moment: Date | number): void;
  expireAfter(after: Duration): void;
};

/** The failed attempt (bounce hook). */
declare const failure: {
  /** The relay would give up; otherwise it would try again. */
  readonly permanent: boolean;
  readonly remoteHost?: string;
  readonly remoteReply?: { code: number; enhanced?: string; text: string };
  /** "dns", "connect", "tls", "ehlo", "auth", "mail", "rcpt", "data", "policy" or "expired". */
  readonly phase: string;
  /** What the relay says: "bad-mailbox", "quota", "block-source", … */
  readonly class: string;
  setClass(name: string): void;
};

/** Asks the next hop whether it takes mail for a recipient (rcpt hook, grant: verify). Throws a `ServiceError`. */
declare function verify(rcpt: string | Address): { host: string; code: number; enhanced?: string; text: string };

// ---------------------------------------------------------------- services

/** A key-value bucket. Grant: kv = ["NAME"]. Its functions throw a `ServiceError`. */
declare function kv(bucket: string): Bucket;
interface Bucket {
  get(key: string): string | undefined;
  getBytes(key: string): Uint8Array | undefined;
  getJson(key: string): any;
  set(key: string, value: Octets, ttl?: Duration): void;
  setJson(key: string, value: unknown, ttl?: Duration): void;
  /** True when there was none. */
  setIfAbsent(key: string, value: Octets, ttl?: Duration): boolean;
  /** Only when it is what was expected (undefined: absent); an undefined value deletes it. */
  compareAndSet(key: string, expected: Octets | undefined, value: Octets | undefined, ttl?: Duration): boolean;
  delete(key: string): void;
  /** Atomic; answers the new value. The time to live counts from the first one. */
  increment(key: string, delta?: number, ttl?: Duration): number;
  /** Token bucket: `burst` at most, all of them back after `period`. */
  take(key: string, cost: number, burst: number, period: Duration): { allowed: boolean; remaining: number; retryAfterMs: number };
  scan(prefix?: string, options?: { cursor?: string; limit?: number }): { keys: string[]; cursor?: string };
}

/** DNS, by the relay's resolver and cache. Grant: dns. No such name is an empty list; no answer is thrown. */
declare const dns: {
  a(name: string): string[];
  aaaa(name: string): string[];
  mx(name: string): { preference: number; host: string }[];
  txt(name: string): string[];
  /** The reverse names of an address. */
  ptr(ip: string): string[];
  lookup(name: string, type: string | number): DnsAnswer;
  /** All at once. An answer that failed has `code` and `error`. */
  lookupMany(queries: [name: string, type: string | number][]): (DnsAnswer | { code: string; error: string })[];
  /** Asks all lists about an address or a domain at once; one that does not answer has `error` and lists nothing. */
  blocklists(zones: string[], subject: string | Address): BlocklistAnswer[];
};
interface DnsAnswer {
  rcode: number;
  authenticated: boolean;
  ttl: number;
  records: string[];
}
interface BlocklistAnswer {
  zone: string;
  listed: boolean;
  addresses: string[];
  code?: string;
  error?: string;
}

/** HTTP, by the relay's client. Grant: http = ["https://host/path"]. Throws a `ServiceError` when there is no response. */
declare const http: {
  fetch(url: string, options?: RequestOptions): Response;
  /** All at once. A request that failed has `code` and `error`. */
  fetchMany(requests: (string | [url: string, options?: RequestOptions])[]): (Response | { code: string; error: string })[];
};
interface RequestOptions {
  /** GET, or POST when there is a body. */
  method?: string;
  headers?: Record<string, string>;
  body?: Octets;
  timeout?: Duration;
  /** Octets of the response body. */
  maxResponse?: number;
}
interface Response {
  readonly status: number;
  /** 200 to 299. */
  readonly ok: boolean;
  readonly headers: [name: string, value: string][];
  readonly bytes: Uint8Array;
  header(name: string): string | undefined;
  text(): string;
  json(): any;
}

type Fields = Record<string, string | number | boolean>;
declare const log: {
  trace(text: string, fields?: Fields): void;
  debug(text: string, fields?: Fields): void;
  info(text: string, fields?: Fields): void;
  warn(text: string, fields?: Fields): void;
  error(text: string, fields?: Fields): void;
};
declare const console: {
  debug(...values: unknown[]): void;
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
};

/** `baton_plugin_<plugin>_<name>`; at most 20 names with 100 label sets each. */
declare const metrics: {
  count(name: string, value?: number, labels?: Fields): void;
  gauge(name: string, value: number, labels?: Fields): void;
  observe(name: string, value: number, labels?: Fields): void;
};

declare const clock: {
  /** Milliseconds since 1970, as `Date.now()`. */
  now(): number;
  /** Milliseconds that this call may still take. */
  remaining(): number;
};

/** A secret of `[plugins.NAME.secrets]`; undefined while the script is loaded. */
declare function secret(name: string): string | undefined;

/** The settings of `[plugins.NAME.config]`, frozen. */
declare const config: any;
/** Thrown while the script is loaded: that setting is wrong. It is told like any mistake in the settings. */
declare class ConfigError extends Error {
  constructor(setting: string, message: string);
  readonly setting: string;
}

/** Randomness of the machine, as `Math.random()`. */
declare const crypto: {
  getRandomValues<T extends ArrayBufferView>(array: T): T;
  randomUUID(): string;
};
/** UTF-8. */
declare class TextEncoder {
  encode(text?: string): Uint8Array;
}
declare class TextDecoder {
  decode(octets?: Uint8Array | ArrayBuffer): string;
}
