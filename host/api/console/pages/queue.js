// What waits, why, and what can be done about it.

import { get, post, runs } from "../api.js";
import { ask, field } from "../dialog.js";
import { announce, h, link, put } from "../dom.js";
import { pages } from "../list.js";
import { said } from "../story.js";
import { chip, count, octets, owner, relative, returnPath, time } from "../words.js";

export const name = () => "Queue";

const PAGE = 50;

const FIELDS = [
  { name: "domain", label: "Domain" },
  { name: "recipient", label: "Recipient" },
  { name: "sender", label: "Sender" },
  { name: "tenant", label: "Tenant" },
  { name: "stream", label: "Stream" },
  { name: "site", label: "Site" },
  {
    name: "state",
    label: "State",
    options: [["", "any"], "ready", "waiting", "held", ["claimed", "in delivery"]],
  },
  { name: "class", label: "Reason", placeholder: "greylist, quota, rate …" },
  { name: "error", label: "Reply has" },
  { name: "older", label: "Older than", placeholder: "2h" },
];

/** What can be done with entries. */
const VERBS = {
  hold: { verb: "Hold", text: "It waits until somebody releases it." },
  release: { verb: "Release", text: "What was held goes on." },
  retry: { verb: "Retry now", text: "An attempt is made at once, whatever it waits for." },
  bounce: {
    verb: "Return to sender",
    danger: true,
    text: "It is given up, and its sender gets a report with the reason.",
    fields: [{ name: "reason", label: "Reason that the sender reads", required: true }],
  },
  remove: { verb: "Remove", danger: true, text: "It is taken out of the queue, and nobody is told." },
};

export async function show(content, { query, signal, keep }) {
  const fields = FIELDS.map((one) => field({ ...one, value: query.get(one.name) ?? "" }));
  const asked = () => Object.fromEntries(fields.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== ""));
  const summary = h("p", { role: "status" });
  const verbs = h("div", { class: "verbs" });
  let chosen = [];

  const list = pages({
    caption: "Entries of the queue",
    empty: "Nothing in the queue is like that.",
    pick: runs() ? (row) => `${row.message}.${row.job}` : null,
    onPick: (rows) => {
      chosen = rows;
      showVerbs();
    },
    columns: [
      { head: "Message", cell: (row) => [link(`/messages/${row.message}`, h("code", null, row.message)), h("small", { class: "under" }, owner(row.tenant, row.stream))] },
      { head: "To, from", class: "address", cell: (row) => [row.recipients[0], row.recipients.length > 1 && h("small", { class: "muted" }, ` and ${row.recipients.length - 1} more`), h("small", { class: "under" }, returnPath(row.sender))] },
      { head: "State", class: "when", cell: (row) => [chip(row.state), row.due && h("small", { class: "under", title: new Date(row.due).toString() }, relative(row.due))] },
      { head: "Why", class: "text", cell: (row) => why(row) },
      { head: "Attempts", class: "number", cell: (row) => row.attempt },
      { head: "Came", class: "when", cell: (row) => time(row.received_at) },
    ],
    load: async (after) => {
      const [page, all] = await Promise.all([
        get("/v1/queue", { ...asked(), after, limit: PAGE }, signal),
        get("/v1/queue/count", asked(), signal),
      ]);
      put(summary, counted(all));
      return { rows: page.jobs, next: page.next };
    },
  });

  const showVerbs = () => {
    if (!runs()) return;
    const isAll = chosen.length === 0;
    const what = isAll ? "all that match" : `${chosen.length} chosen`;
    const button = ([operation, { verb, danger }]) =>
      h("button", { type: "button", class: danger ? "button small risky" : "button small", onclick: () => operate(operation) }, verb);
    put(verbs, Object.entries(VERBS).map(button), h("span", { class: "count" }, what));
  };

  const operate = async (operation) => {
    const { verb, danger, text, fields: more } = VERBS[operation];
    const filter = asked();
    const isAll = chosen.length === 0;
    const targets = isAll
      ? [Object.keys(filter).length > 0 ? filter : { all: true }]
      : [...new Set(chosen.map((row) => row.message))].map((message) => ({ message }));
    const title = isAll ? `${verb}: everything that matches` : `${verb}: ${targets.length} ${targets.length === 1 ? "message" : "messages"}`;
    const changed = await ask({
      title,
      text: isAll && targets[0].all ? `${text} This is the whole queue.` : text,
      fields: more,
      verb,
      danger,
      act: async (values) => {
        let sum = 0;
        for (const target of targets) sum += await all(operation, { ...target, ...values });
        return sum;
      },
    });
    if (changed === undefined) return;
    announce(`${verb}: ${count(changed)} ${changed === 1 ? "entry" : "entries"}`);
    list.refresh();
  };

  const seek = (event) => {
    event?.preventDefault();
    keep(asked());
    return list.reload();
  };
  const form = h(
    "form",
    { class: "filter", role: "search", "aria-label": "Which entries", onsubmit: seek },
    fields.map(({ element }) => element),
    h("div", { class: "verbs" }, h("button", { type: "submit", class: "button primary" }, "Show")),
  );
  showVerbs();
  put(content, form, h("div", { class: "toolbar" }, summary, verbs), list.element);
  await list.reload();
}

/** A long operation goes on where it stopped. */
async function all(operation, body) {
  let sum = 0;
  let after;
  do {
    const part = await post(`/v1/queue/${operation}`, after ? { ...body, after } : body);
    sum += part.changed;
    after = part.next;
  } while (after);
  return sum;
}

function counted(all) {
  const states = [
    ["ready", all.ready],
    ["waiting", all.waiting],
    ["held", all.held],
    ["claimed", all.claimed],
  ].filter(([, number]) => number > 0);
  if (states.length === 0) return "";
  return [
    states.map(([state, number]) => [chip(state), ` ${count(number)} `]),
    h("span", { class: "muted" }, octets(all.octets), all.next && ", of the part that was looked at"),
  ];
}

function why(row) {
  if (row.hold) return row.hold;
  if (row.waits) return row.waits;
  if (row.give_up) return `to be returned: ${row.give_up}`;
  if (!row.last) return h("span", { class: "muted" }, row.attempt === 0 ? "not tried yet" : "–");
  return [h("small", { class: "muted" }, row.last.class, " "), said(row.last)];
}
