import { Address, fromRaw, parameters, toRaw } from "./address.js";
import { ask, orUndefined, raw } from "./host.js";
import { notes } from "./session.js";

const change = (what, change) => void ask(what, () => change(raw.envelope));

/** Sender, recipients and marks of the message. What is set is applied when the hook returned. */
export const envelope = Object.freeze({
  get id() { return raw.envelope.id(); },
  get tenant() { return orUndefined(raw.envelope.tenant()); },
  get stream() { return orUndefined(raw.envelope.messageStream()); },
  /** `undefined` is the null sender. */
  get sender() {
    const sender = raw.envelope.sender();
    return sender == null ? undefined : fromRaw(sender);
  },
  get senderParams() { return parameters(raw.envelope.senderParams()); },
  get recipientCount() { return raw.envelope.recipientCount(); },
  get recipients() {
    return Array.from({ length: raw.envelope.recipientCount() }, (_, index) => fromRaw(raw.envelope.recipient(index)));
  },
  recipientParams: (which) => parameters(raw.envelope.recipientParams(indexOf(which))),
  get priority() { return raw.envelope.priority(); },
  get totalScore() { return raw.envelope.totalScore(); },

  setSender: (to) => change("setSender", (envelope) => envelope.setSender(to == null ? null : toRaw(to))),
  addRecipient: (to) => change("addRecipient", (envelope) => envelope.addRecipient(toRaw(to))),
  removeRecipient: (which) => change("removeRecipient", (envelope) => envelope.removeRecipient(indexOf(which))),
  redirect: (which, to) => change("redirect", (envelope) => envelope.redirect(indexOf(which), [to].flat().map(toRaw))),
  setStream: (name) => change("setStream", (envelope) => envelope.setMessageStream(name)),
  setPriority: (priority) => change("setPriority", (envelope) => envelope.setPriority(priority)),
  quarantine: (reason) => change("quarantine", (envelope) => envelope.quarantine(reason)),
  tag: (name, value) => change("tag", (envelope) => envelope.tag(name, String(value))),
  score: (symbol, points) => change("score", (envelope) => envelope.score(symbol, points)),
  notes: notes(() => raw.envelope),
});

/** A recipient is named by its index or its address. */
function indexOf(which) {
  if (typeof which === "number") return which;
  const wanted = String(Address.parse(which));
  const found = envelope.recipients.findIndex((recipient) => String(recipient) === wanted);
  if (found < 0) throw new RangeError(`${wanted} is not a recipient`);
  return found;
}
