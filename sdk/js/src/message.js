import { ask, handle, orUndefined, raw, release } from "./host.js";
import { exchange } from "./http.js";
import { toHex, toOctets, toText } from "./octets.js";

/** Most octets that the host gives in one answer, and what is asked for where nothing is said. */
const READ_MAX = 1 << 20;
const CHARACTERS = 1 << 16;
const URLS = 100;
const EMPTY_LINE_OCTETS = 2;

const change = (what, change) => ask(what, () => change(raw.message));

/** The message stays in the host; nothing is copied into the plugin but what is asked for. */
export const message = Object.freeze({
  get size() { return Number(raw.message.size()); },
  get headerSize() { return Number(raw.message.headerSize()); },
  get tooComplex() { return orUndefined(raw.message.tooComplex()); },
  get headerNames() { return raw.message.headerNames(); },
  /** All that stands behind the header, as a piece for `replaceBody`. */
  get body() {
    const start = message.headerSize + EMPTY_LINE_OCTETS;
    return new Range(start, Math.max(message.size - start, 0));
  },
  header: (name) => orUndefined(raw.message.header(name)),
  headers: (name) => raw.message.headers(name),
  rawHeader(name) {
    const octets = raw.message.rawHeader(name);
    return octets == null ? undefined : toText(octets);
  },
  addresses: (name) => raw.message.addresses(name).map(([display, address]) => ({ name: display, address })),
  read: (offset, length) => raw.message.read(offset, length),
  readText: (offset, length) => toText(raw.message.read(offset, length)),
  find: (needle, start = 0) => orUndefined(raw.message.find(toOctets(needle), start)),
  digest: (algorithm = "sha-256") => toHex(ask("digest", () => raw.message.digest(algorithm))),
  postRaw: (url, options = {}) =>
    exchange("postRaw", url, { method: "POST", ...options }, (request) => raw.message.postRaw(request)),
  /** The leaves of the MIME tree, in order. */
  parts: () => Array.from({ length: raw.message.partCount() }, (_, index) => new Part(index)),
  /** A piece of the message as it is, for `replaceBody`: it never enters the plugin. */
  range: (offset, length) => new Range(offset, length),

  addHeader: (name, value) => void change("addHeader", (message) => message.addHeader(name, String(value))),
  insertHeader: (index, name, value) =>
    void change("insertHeader", (message) => message.insertHeader(index, name, String(value))),
  setHeader: (name, value) => change("setHeader", (message) => message.setHeader(name, String(value))),
  removeHeader: (name) => change("removeHeader", (message) => message.removeHeader(name)),
  /** Puts a body of these pieces (texts, octets, ranges) in the place of the old one. */
  replaceBody(...pieces) {
    release(["body"]);
    ask("replaceBody", () => {
      const writer = handle("body", () => raw.message.replaceBody());
      for (const piece of pieces.flat()) {
        if (piece instanceof Range) writer.copy(piece.offset, piece.length);
        else writer.write(toOctets(typeof piece === "string" ? piece.replace(/\r\n|\r|\n/g, "\r\n") : piece));
      }
      writer.finish();
    });
    release(["body"]);
  },
});

class Range {
  constructor(offset, length) {
    this.offset = offset;
    this.length = length;
    Object.freeze(this);
  }
}

/** A leaf of the MIME tree. One handle serves them all, so that a message of a thousand parts needs no thousand. */
class Part {
  #index;

  constructor(index) {
    this.#index = index;
  }

  get #part() {
    if (held !== this.#index) release(["part"]);
    held = this.#index;
    return handle("part", () => raw.message.getPart(this.#index));
  }

  get contentType() { return this.#part.contentType(); }
  get disposition() { return orUndefined(this.#part.disposition()); }
  get filename() { return orUndefined(this.#part.filename()); }
  get charset() { return orUndefined(this.#part.charset()); }
  get transferEncoding() { return this.#part.transferEncoding(); }
  get within() { return this.#part.within(); }
  get size() { return Number(this.#part.decodedSize()); }
  get range() {
    const [offset, length] = this.#part.rawRange();
    return { offset: Number(offset), length: Number(length) };
  }
  header(name) { return orUndefined(this.#part.header(name)); }
  read(offset = 0, length = READ_MAX) { return this.#part.read(offset, length); }
  /** HTML is reduced to text unless it is asked for. */
  text({ max = CHARACTERS, html = false } = {}) { return this.#part.text(max, !html); }
  digest(algorithm = "sha-256") { return toHex(ask("digest", () => this.#part.digest(algorithm))); }
  urls(max = URLS) { return this.#part.urls(max); }
}

/** Which part the handle is of. */
let held;
