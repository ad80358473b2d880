import { ask, handle, raw } from "./host.js";
import { toOctets, toText } from "./octets.js";
import { duration, json } from "./values.js";

/** A bucket of the key-value store (grant: kv, by name). It is opened when it is used first. */
export const kv = (name) => new Bucket(name);

class Bucket {
  #name;

  constructor(name) {
    this.#name = name;
  }

  #ask(what, question) {
    const open = () => handle(`kv ${this.#name}`, () => raw.kv.Bucket.open(this.#name));
    return ask(`kv ${this.#name}: ${what}`, () => question(open()));
  }

  /** The value as text; `undefined` when it is not set or has expired. */
  get(key) {
    const octets = this.getBytes(key);
    return octets === undefined ? undefined : toText(octets);
  }

  getBytes(key) {
    return this.#ask(key, (bucket) => bucket.get(key)) ?? undefined;
  }

  getJson(key) {
    return json(this.get(key));
  }

  setJson(key, value, ttl) {
    this.set(key, JSON.stringify(value), ttl);
  }

  set(key, value, ttl) {
    this.#ask(key, (bucket) => bucket.set(key, toOctets(value), duration(ttl)));
  }

  setIfAbsent(key, value, ttl) {
    return this.#ask(key, (bucket) => bucket.setIfAbsent(key, toOctets(value), duration(ttl)));
  }

  /** `undefined` is "absent", before and after. */
  compareAndSet(key, expected, value, ttl) {
    const octets = (given) => (given == null ? null : toOctets(given));
    return this.#ask(key, (bucket) => bucket.compareAndSet(key, octets(expected), octets(value), duration(ttl)));
  }

  delete(key) {
    this.#ask(key, (bucket) => bucket.delete(key));
  }

  /** Adds atomically and answers the new value. The time to live counts from the key's creation: a fixed window. */
  increment(key, delta = 1, ttl) {
    return Number(this.#ask(key, (bucket) => bucket.increment(key, delta, duration(ttl))));
  }

  /** A token bucket: `burst` tokens at most, all of them back after `period`. */
  take(key, cost, burst, period) {
    const { allowed, remaining, retryAfterMs } = this.#ask(key, (bucket) => bucket.take(key, cost, burst, duration(period)));
    return { allowed, remaining, retryAfterMs: Number(retryAfterMs) };
  }

  /** Keys that begin with the prefix, in order. */
  scan(prefix = "", { cursor = null, limit = 100 } = {}) {
    const page = this.#ask("scan", (bucket) => bucket.scan(prefix, cursor, limit));
    return { keys: page.keys, cursor: page.cursor ?? undefined };
  }
}
