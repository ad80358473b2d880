// The one place that knows where the host's interfaces come from: the entry that `baton-js build` writes hands in the
// imports of the component, a TestHost hands in its own.

/** The host's interfaces by name, as WebAssembly shows them. Not for plugins. */
export let raw = {};

export function connect(interfaces) {
  raw = interfaces;
}

/** The host refused, or could not do, what was asked. */
export class HostError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "HostError";
    this.code = code;
  }
}

/** Calls the host, and turns what it throws (a text, or a case of a variant) into a HostError that says what was asked. */
export function ask(what, question) {
  try {
    return question();
  } catch (thrown) {
    if (thrown instanceof Error && !("payload" in thrown)) throw thrown;
    throw asHostError(what, thrown?.payload ?? thrown);
  }
}

/** The error of a nested result, such as one of many DNS answers. */
export function asHostError(what, error) {
  if (typeof error === "string") return new HostError("refused", `${what}: ${error}`);
  const detail = error?.val ? `${error.tag}: ${error.val}` : String(error?.tag ?? error);
  return new HostError(error?.tag ?? "failed", `${what}: ${detail}`);
}

const open = new Map();

/**
 * The handle of that name, opened once in a call. Handles are bounded by the host and belong to the call: all are
 * released when it ends.
 */
export function handle(name, make) {
  if (!open.has(name)) open.set(name, make());
  return open.get(name);
}

/** Drops one handle, or all. */
export function release(names = [...open.keys()]) {
  for (const name of names) {
    open.get(name)?.[Symbol.dispose]?.();
    open.delete(name);
  }
}

/** An absent value of the host is `null`, one of JavaScript `undefined`. */
export const orUndefined = (value) => value ?? undefined;
