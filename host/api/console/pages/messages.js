// Messages, newest first, by what is known of them.

import { get } from "../api.js";
import { field } from "../dialog.js";
import { h, link, put } from "../dom.js";
import { pages } from "../list.js";
import { chip, octets, owner, time } from "../words.js";

export const name = () => "Messages";

const PAGE = 50;

const FIELDS = [
  { name: "recipient", label: "Recipient", placeholder: "ann@example.org" },
  { name: "domain", label: "Domain", placeholder: "example.org" },
  { name: "sender", label: "Sender", placeholder: "shop@example.com" },
  { name: "tenant", label: "Tenant" },
  { name: "stream", label: "Stream" },
  { name: "tag", label: "Tag" },
  { name: "message_id", label: "Message-ID" },
  {
    name: "since",
    label: "Since",
    options: [
      ["", "ever"],
      ["15m", "15 minutes"],
      ["1h", "an hour"],
      ["24h", "a day"],
      ["7d", "a week"],
      ["30d", "30 days"],
    ],
  },
];

export async function show(content, { query, signal, keep }) {
  const fields = FIELDS.map((one) => field({ ...one, value: query.get(one.name) ?? "" }));
  const asked = () => Object.fromEntries(fields.map(({ name, read }) => [name, read()]));
  const behind = h("p", { class: "muted", role: "status", hidden: true });
  const list = pages({
    caption: "Messages, newest first",
    empty: "No message is like that.",
    columns: [
      { head: "Came", class: "when", cell: (row) => time(row.time) },
      { head: "Message", cell: (row) => link(`/messages/${row.message}`, h("code", null, row.message)) },
      { head: "To, from", class: "address", cell: (row) => [row.copies[0]?.recipient ?? "–", row.copies.length > 1 && h("small", { class: "muted" }, ` and ${row.copies.length - 1} more`), h("small", { class: "under" }, row.sender || "<>")] },
      { head: "State", class: "text", cell: (row) => [states(row.copies), row.copies.length === 1 && row.copies[0].state !== "delivered" && h("small", { class: "under" }, row.copies[0].said)] },
      { head: "Stream", cell: (row) => owner(row.tenant, row.stream) },
      { head: "Size", class: "number", cell: (row) => octets(row.size) },
    ],
    load: async (after) => {
      const page = await get("/v1/messages", { ...asked(), after, limit: PAGE }, signal);
      behind.hidden = page.behind === 0;
      put(behind, `${page.behind} events can not be found yet.`);
      return { rows: page.messages, next: page.next };
    },
  });
  const seek = (event) => {
    event?.preventDefault();
    keep(asked());
    return list.reload();
  };
  const clear = () => {
    for (const { input } of fields) input.value = "";
    seek();
  };
  const form = h(
    "form",
    { class: "filter", role: "search", "aria-label": "Which messages", onsubmit: seek },
    fields.map(({ element }) => element),
    h(
      "div",
      { class: "verbs" },
      h("button", { type: "submit", class: "button primary" }, "Search"),
      h("button", { type: "button", class: "button", onclick: clear }, "Clear"),
    ),
  );
  put(content, form, behind, list.element);
  await list.reload();
}

/** The states of all copies, each once, with what recipients did. */
function states(copies) {
  const tally = new Map();
  for (const { state, then } of copies) {
    for (const one of [state, ...then]) tally.set(one, (tally.get(one) ?? 0) + 1);
  }
  const several = copies.length > 1;
  return h("span", { class: "chips" }, [...tally].map(([state, number]) => [chip(state), several && h("small", { class: "muted" }, `×${number}`)]));
}
