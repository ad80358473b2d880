// The story of a message in words: who decided what, when, what the peers said, what comes next.

import { h, link } from "./dom.js";
import { chip, latency, octets, relative, returnPath, span, stamp, time } from "./words.js";

/** The steps of a story, oldest first. */
export function steps(events) {
  const begin = events.length > 0 ? events[0].at : 0;
  return h("ol", { class: "steps" }, events.map((event) => step(event, begin)));
}

function step(event, begin) {
  const [kind, what] = Object.entries(event.what)[0];
  const after = event.at > begin ? `+${span(event.at - begin)}` : "";
  const decisions = what?.decisions ?? [];
  return h(
    "li",
    { class: `step ${kind}` },
    h("div", { class: "when" }, time(event.at), h("span", { class: "muted" }, after)),
    h(
      "div",
      { class: "what" },
      h("p", null, chip(kind), " ", sentence(kind, what ?? {})),
      decisions.length > 0 && h("ul", { class: "decisions" }, decisions.map(decision)),
    ),
  );
}

function decision({ plugin, hook, answer, edits, micros }) {
  return h(
    "li",
    null,
    h("code", null, hook),
    " asked ",
    h("code", null, plugin),
    ": ",
    h("strong", null, answer),
    edits.length > 0 && `, changed ${edits.join(", ")}`,
    h("span", { class: "muted" }, ` (${micros.toLocaleString("en-US")} µs)`),
  );
}

/** A reply, or why something is so. */
export function said(status) {
  if (!status) return null;
  const codes = [status.code, enhanced(status.enhanced)].filter(Boolean).join(" ");
  return h("q", { class: "said" }, [codes, status.text].filter(Boolean).join(" "));
}

/** Who spoke, and what protected the way. */
function host(status) {
  const remote = status?.remote;
  if (!remote) return null;
  const address = remote.address && remote.address !== remote.host ? ` [${remote.address}]` : "";
  const security = remote.security ? `, ${String(remote.security).replace("plain=", "plain text: ")}` : "";
  const source = remote.source?.name ? `, by ${remote.source.name}` : "";
  return h("span", { class: "muted" }, ` ${remote.host}${address}${source}${security}`);
}

function enhanced(code) {
  if (!code) return null;
  return Array.isArray(code) ? code.join(".") : typeof code === "object" ? Object.values(code).join(".") : code;
}

function people(recipients) {
  if (!recipients || recipients.length === 0) return "";
  const shown = recipients.slice(0, 4).join(", ");
  return recipients.length > 4 ? `${shown} and ${recipients.length - 4} more` : shown;
}

const whom = (recipients) => (recipients?.length ? ` for ${people(recipients)}` : "");

function wayIn(origin) {
  if (!origin) return "";
  const parts = [];
  if (origin.account) parts.push(`as ${origin.account}`);
  if (origin.client) parts.push(`from ${origin.client}`);
  if (origin.helo) parts.push(`(${origin.helo})`);
  if (origin.listener) parts.push(`at ${origin.listener}`);
  if (typeof origin.protocol === "string") parts.push(`by ${origin.protocol}`);
  return parts.length ? `, ${parts.join(" ")}` : "";
}

const sender = (path) => `<${returnPath(path).replace("<>", "")}>`;

function sentence(kind, what) {
  const tell = SENTENCES[kind];
  return tell ? tell(what) : h("code", null, JSON.stringify(what));
}

const SENTENCES = {
  accepted: (what) => `from ${sender(what.sender)} for ${people(what.recipients)}, ${octets(what.size)}${wayIn(what.origin)}`,
  rejected: (what) => [
    `from ${sender(what.sender)}${what.recipient ? ` for ${what.recipient}` : ""}${wayIn(what.origin)} `,
    h("q", { class: "said" }, reply(what.reply)),
  ],
  discarded: (what) => `${whom(what.recipients)} by ${what.by}: ${what.reason}`,
  routed: (what) => `${whom(what.recipients)} to ${what.next_hop}`,
  delivered: (what) => [`to ${people(what.recipients)} `, said(what.status), host(what.status), attempt(what, latency(what.took_ms))],
  deferred: (what) => [
    `${whom(what.recipients)} `,
    said(what.status),
    host(what.status),
    attempt(what, what.status?.phase),
    what.next_attempt ? `; next attempt ${stamp(what.next_attempt)}` : "",
  ],
  failed: (what) => [`${whom(what.recipients)} `, said(what.status), host(what.status), attempt(what, what.status?.class)],
  bounced: (what) =>
    what.report ? [`${what.detail}, as message `, link(`/messages/${what.report}`, what.report)] : `nobody is told: ${what.detail}`,
  held: (what) => `by ${what.by}: ${what.reason}`,
  released: (what) => `by ${what.by}`,
  "retry-asked": (what) => `by ${what.by}`,
  removed: (what) => `from the queue${whom(what.recipients)} by ${what.by}`,
  damaged: (what) => `and set aside: ${what.detail}`,
  asked: (what) => `by the sender: ${what.requests.join(", ")}`,
  reported: (what) => [`to the sender as ${what.action}${whom(what.recipients)}, as message `, link(`/messages/${what.report}`, what.report)],
  "bounce-asked": (what) => `by ${what.by}: ${what.reason}`,
  rerouted: (what) => (what.next_hop ? `to ${what.next_hop} from now on, by ${what.by}` : `as the settings say again, by ${what.by}`),
  reassigned: (what) => `${what.to.join(", ")}, by ${what.by}`,
  converted: (what) => `${whom(what.recipients)}: ${what.detail}`,
  stuck: (what) => `due since ${stamp(what.due)}: ${what.reason}`,
  suppressed: (what) => `${whom(what.recipients)}, by the list of ${what.list}: ${what.reason}${what.detail ? ` (${what.detail})` : ""}`,
  complained: (what) => `${what.recipient ?? "somebody"}: ${what.feedback}, by ${what.by}`,
  opened: (what) => `by ${what.recipient}${visitor(what.visitor)}`,
  clicked: (what) => [`by ${what.recipient}: `, h("code", null, what.url), visitor(what.visitor)],
  unsubscribed: (what) => `${what.recipient} from ${what.from}, by ${what.how}${visitor(what.visitor)}`,
  "came-back": (what) => [`from ${what.by || "the far side"} for ${what.recipient} `, said(what.status)],
};

function attempt(what, more) {
  return h("span", { class: "muted" }, ` (attempt ${what.attempt}${more ? `, ${more}` : ""})`);
}

function reply(answer) {
  if (!answer) return "";
  if (typeof answer === "string") return answer;
  return [answer.code, enhanced(answer.enhanced), answer.text ?? answer.lines?.join(" ")].filter(Boolean).join(" ");
}

function visitor(one) {
  if (!one) return "";
  return one.automatic ? `, by a program (${one.automatic})` : one.agent ? `, with ${one.agent}` : "";
}

/** What is still to come of a message. */
export function ending(jobs, now) {
  if (jobs.length === 0) return h("p", { class: "muted" }, "Nothing of it is in the queue any more.");
  return h("ul", { class: "ending" }, jobs.map((job) => h("li", null, chip(job.state), " ", waiting(job, now))));
}

function waiting(job, now) {
  const end = `; given up ${relative(job.expires_at, now)}`;
  const to = people(job.recipients);
  if (job.state === "held") return `${to}: ${job.hold ?? "no reason given"}${end}`;
  if (job.state === "claimed") return `${to}: ${job.waits ?? "an attempt is made now"} (attempt ${job.attempt + 1})${end}`;
  if (job.state === "ready") return `${to}: next attempt at once${end}`;
  const due = job.due ? ` ${stamp(job.due)} (${relative(job.due, now)})` : "";
  return `${to}: next attempt${due}${job.last && !job.last.code ? `: ${job.last.text}` : ""}${end}`;
}
