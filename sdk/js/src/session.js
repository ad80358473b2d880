import { ask, orUndefined, raw } from "./host.js";
import { toOctets, toText } from "./octets.js";
import { json } from "./values.js";

/** The SMTP session of the call in progress. Each property is asked when it is read. */
export const session = Object.freeze({
  get id() { return raw.session.id(); },
  get listener() { return raw.session.listener(); },
  get remoteIp() { return raw.session.remoteIp(); },
  get remotePort() { return raw.session.remotePort(); },
  get remoteName() { return orUndefined(raw.session.remoteName()); },
  get helo() { return orUndefined(raw.session.helo()); },
  get authenticatedAs() { return orUndefined(raw.session.authenticatedAs()); },
  get iprev() { return orUndefined(raw.session.iprev()); },
  get tls() { return protection(raw.session.tls()); },
  notes: notes(() => raw.session),
});

/** What protects the connection. What is not there is left out. */
function protection(facts) {
  if (facts == null) return undefined;
  const { version, cipher, serverName, certificate: shown } = facts;
  if (shown == null) return known({ version, cipher, serverName });
  const { subject, sha256, distrust } = shown;
  const verifiedSubject = distrust == null ? subject : null;
  return known({ version, cipher, serverName, verifiedSubject, certificate: known({ subject, sha256, distrust }) });
}

const known = (members) => Object.freeze(Object.fromEntries(Object.entries(members).filter(([, value]) => value != null)));

/** Notes of a session or a message: texts, octets or JSON. */
export function notes(home) {
  const get = (key) => {
    const octets = home().note(key);
    return octets == null ? undefined : toText(octets);
  };
  const set = (key, value) => void ask(`note ${key}`, () => home().setNote(key, value));
  return Object.freeze({
    get,
    getBytes: (key) => orUndefined(home().note(key)),
    getJson: (key) => json(get(key)),
    set: (key, value) => set(key, toOctets(value)),
    setJson: (key, value) => set(key, toOctets(JSON.stringify(value))),
    delete: (key) => set(key, null),
  });
}
