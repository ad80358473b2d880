// Asks the relay by /v1, as every program does; the session's cookie is shown by the browser itself.

/** Why the relay did not do something (RFC 9457). */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `the relay answered ${status}`);
    this.status = status;
    this.title = problem.title || "It did not work";
    this.detail = problem.detail || this.message;
    this.errors = problem.errors || [];
  }
}

let session = null;

/** The session, or null. */
export function who() {
  return session;
}

/** True when the operator may do what needs that scope. */
export function may(scope) {
  return session !== null && session.scopes.includes(scope);
}

/** True when the operator sees all of the relay. */
export function seesAll() {
  return session !== null && session.tenant === null;
}

/** True when the operator may run the mail: the queue, shaping, plugins. */
export function runs() {
  return seesAll() && session.role !== "viewer";
}

/** Asks who is logged in. */
export async function begin() {
  session = (await ask("GET", "/v1/session")) ?? null;
  return session;
}

export async function logIn(name, password) {
  session = await ask("POST", "/v1/session", { body: { name, password } });
}

export async function logOut() {
  await ask("DELETE", "/v1/session");
  session = null;
}

/** Ends all sessions of the operator, and gives it another one. */
export async function changePassword(old, fresh) {
  session = await ask("PUT", "/v1/session/password", { body: { old, new: fresh } });
}

export async function logOutEverywhere() {
  await ask("DELETE", "/v1/sessions");
  session = null;
}

export const get = (path, query, signal) => ask("GET", path + search(query), { signal });
export const post = (path, body, query, signal) => ask("POST", path + search(query), { body: body ?? {}, signal });
export const patch = (path, body, query) => ask("PATCH", path + search(query), { body });
export const put = (path, body, query, fields) => ask("PUT", path + search(query), { body: body ?? {}, fields });
export const remove = (path, query) => ask("DELETE", path + search(query));
export const upload = (path, text, type, query) => ask("POST", path + search(query), { text, type });

/** A path with its parts escaped: at`/v1/messages/${id}`. */
export function at(parts, ...values) {
  return parts.reduce((path, part, index) => path + encodeURIComponent(values[index - 1]) + part);
}

/** `?a=b`, without what is empty. */
export function search(query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length === 0 ? "" : "?" + new URLSearchParams(given);
}

async function ask(method, path, { body, text, type, signal, fields } = {}) {
  const headers = { accept: "application/json", ...fields };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (type !== undefined) headers["content-type"] = type;
  if (method !== "GET" && session) headers["x-csrf-token"] = session.csrf;
  const content = body === undefined ? text : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: content, signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { title: "The relay does not answer", detail: "It may be starting, or the network is down." });
  }
  if (answer.ok) return read(answer);
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401 && session) {
    session = null;
    window.dispatchEvent(new Event("session-over"));
  }
  throw new Refused(answer.status, problem);
}

function read(answer) {
  if (answer.status === 204) return null;
  const type = answer.headers.get("content-type") ?? "";
  return type.startsWith("application/json") ? answer.json() : answer.text();
}

/** Does something now and again every so many milliseconds, while the page is looked at, until `signal`. */
export function every(milliseconds, signal, look) {
  let timer = null;
  const step = async () => {
    if (signal.aborted) return;
    if (!document.hidden) await look().catch((error) => error.name !== "AbortError" && console.debug(error));
    if (!signal.aborted) timer = setTimeout(step, milliseconds);
  };
  const wake = () => {
    if (!document.hidden && timer !== null) {
      clearTimeout(timer);
      timer = null;
      step();
    }
  };
  document.addEventListener("visibilitychange", wake, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  return step();
}
