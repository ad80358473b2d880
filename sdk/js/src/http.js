import { ask, raw } from "./host.js";
import { failed } from "./dns.js";
import { toOctets, toText } from "./octets.js";
import { duration, pairs } from "./values.js";

/** HTTP through the relay's client (grant: http, by URL prefix). The calls wait for the answer: there are no promises. */
export const http = Object.freeze({
  fetch: (url, options) => exchange("http", url, options, (request) => raw.http.fetch(request)),
  /** All at once: URLs, or [url, options]. A request that failed has `code` and `error`. */
  fetchMany: (requests) =>
    raw.http.fetchMany(requests.map((one) => request(...[one].flat()))).map((result, index) =>
      result.tag === "ok" ? new Response(result.val) : failed(`http ${[requests[index]].flat()[0]}`, result.val)),
});

/** One request by that function of the host. */
export const exchange = (what, url, options, send) =>
  new Response(ask(`${what} ${url}`, () => send(request(url, options))));

const request = (url, { method, headers, body, timeout, maxResponse = null } = {}) => ({
  method: method ?? (body === undefined ? "GET" : "POST"),
  url: String(url),
  headers: pairs(headers),
  body: toOctets(body ?? ""),
  timeoutMs: duration(timeout),
  maxResponse,
});

class Response {
  constructor({ status, headers, body }) {
    this.status = status;
    this.ok = status >= 200 && status < 300;
    this.headers = headers.map(([name, value]) => [name.toLowerCase(), value]);
    this.bytes = body;
  }

  header(name) {
    const wanted = name.toLowerCase();
    return this.headers.find(([given]) => given === wanted)?.[1];
  }

  text() {
    return toText(this.bytes);
  }

  json() {
    return JSON.parse(this.text());
  }
}
