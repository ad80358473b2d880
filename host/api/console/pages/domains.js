// The domains to send from.

import { get } from "../api.js";
import { h, link, put } from "../dom.js";
import { table } from "../list.js";
import { chip, time } from "../words.js";

export const name = () => "Domains";

const SHOWN = 500;

export async function show(content, { signal }) {
  const rows = await get("/v1/domains", null, signal);
  const more = rows.length > SHOWN && h("p", { class: "muted" }, `${rows.length - SHOWN} more are not shown; \`baton domain ls\` has all.`);
  put(
    content,
    h("section", { class: "panel" }, domains(rows.slice(0, SHOWN)), more),
  );
}

function domains(rows) {
  return table({
    caption: "Domains to send from",
    empty: "There is none; `baton domain add DOMAIN` makes the keys of one.",
    rows,
    columns: [
      { head: "Domain", cell: (row) => link(`/domains/${encodeURIComponent(row.domain)}`, row.domain) },
      { head: "Keys", class: "text", cell: (row) => row.keys.map((key) => [h("code", null, key.selector), " ", key.algorithm, " ", chip(key.state, { active: "good", new: "warn" }[key.state] ?? "mute"), " "]) },
      { head: "Seen in the DNS", class: "when", cell: (row) => (row.seen_at ? time(row.seen_at) : "not yet") },
    ],
  });
}
