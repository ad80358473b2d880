// From a module that exports onRcpt, onData, … to the interfaces that the host calls.

import { fromRaw, parameters } from "./address.js";
import { toRawDecision } from "./decision.js";
import { raw, release } from "./host.js";
import { log } from "./services.js";

/** The plugin's settings, frozen. They are there when `init` or a hook runs, not while the module loads. */
export let config;

/** A secret that the settings bind to this plugin; none in `init`. */
export const secret = (name) => raw.config.secret(name) ?? undefined;

/** The hooks: name of the function, name of the interface, what the function gets. */
export const HOOKS = {
  connect: { name: "onConnect", takes: () => [] },
  auth: { name: "onAuth", takes: (mechanism, user, given) => [{ mechanism, user, [given.tag]: given.val }] },
  rcpt: { name: "onRcpt", takes: (rcpt, params) => [fromRaw(rcpt), parameters(params)] },
  data: { name: "onData", takes: () => [] },
  route: { name: "onRoute", takes: (rcpt) => [fromRaw(rcpt)] },
  bounce: { name: "onBounce", takes: (rcpt) => [fromRaw(rcpt)] },
  events: { name: "onEvents", takes: (batch) => [batch.map(event)] },
};

/** The interfaces of a plugin: `lifecycle`, and one for each hook that it has. */
export function adapt(plugin) {
  globalThis.console ??= CONSOLE;
  let problems;
  // Once in each instance: where the host keeps what `init` left in memory, that is once in each load.
  const prepare = () => {
    if (problems) return problems;
    config = freeze(JSON.parse(raw.config.json()));
    problems = (plugin.init?.(config) ?? []).map(({ path, message }) => ({ path: String(path), message: String(message) }));
    return problems;
  };
  const interfaces = {
    lifecycle: {
      init() {
        const found = shown("init", prepare);
        if (found.length > 0) throw found;
      },
    },
  };
  for (const [hook, { name, takes }] of Object.entries(HOOKS)) {
    if (typeof plugin[name] !== "function") continue;
    const call = (...given) => shown(name, () => {
      const [problem] = prepare();
      if (problem) throw new TypeError(`settings: ${problem.path}: ${problem.message}`);
      const decided = plugin[name](...takes(...given));
      return hook === "events" ? undefined : toRawDecision(name, decided);
    });
    interfaces[hook] = { [name]: call };
  }
  return interfaces;
}

/** The interpreter has no console; what is written to it goes to the log. */
const written = (level) => (...values) => log[level](values.join(" "));
const CONSOLE = Object.freeze({
  debug: written("debug"), log: written("info"), info: written("info"), warn: written("warn"), error: written("error"),
});

/** An exception ends the call as a failure of the plugin; the log says where it was thrown. */
function shown(where, call) {
  try {
    return call();
  } catch (thrown) {
    if (!Array.isArray(thrown)) log.error(`${where}: ${thrown}`, thrown?.stack ? { stack: thrown.stack } : {});
    throw thrown;
  } finally {
    release();
  }
}

function event({ unixMs, kind, sessionId, messageId, fields }) {
  return {
    at: Number(unixMs), kind, session: sessionId ?? undefined, message: messageId ?? undefined,
    fields: Object.fromEntries(fields),
  };
}

function freeze(value) {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(freeze);
    Object.freeze(value);
  }
  return value;
}
