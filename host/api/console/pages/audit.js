// Who changed what, when.

import { get, seesAll } from "../api.js";
import { field } from "../dialog.js";
import { h, put } from "../dom.js";
import { pages } from "../list.js";
import { chip, time } from "../words.js";

export const name = () => "Audit";

const PAGE = 50;

export async function show(content, { query, signal, keep }) {
  const tenant = seesAll() && field({ name: "tenant", label: "Tenant", value: query.get("tenant") ?? "", placeholder: "all" });
  const list = pages({
    caption: "Changes, the newest first",
    empty: "Nothing was changed yet.",
    columns: [
      { head: "When", class: "when", cell: (row) => time(row.at) },
      { head: "Who, from", cell: (row) => [h("code", null, row.by), h("small", { class: "under" }, row.client)] },
      { head: "What", cell: (row) => chip(row.action, "plain") },
      { head: "Of", cell: (row) => [row.tenant, row.target].filter(Boolean).join("/") },
      { head: "Asked for", class: "text", cell: (row) => (row.change === null ? "–" : h("code", null, brief(row.change))) },
    ],
    load: async (after) => {
      const page = await get("/v1/audit", { tenant: tenant ? tenant.read() : "", after, limit: PAGE }, signal);
      return { rows: page.changes, next: page.next };
    },
  });
  const form =
    tenant &&
    h(
      "form",
      {
        class: "one-line",
        role: "search",
        onsubmit: (event) => {
          event.preventDefault();
          keep({ tenant: tenant.read() });
          list.reload();
        },
      },
      tenant.element,
      h("button", { type: "submit", class: "button" }, "Show"),
    );
  put(content, form, list.element);
  await list.reload();
}

/** `name=value` of each member that says something. */
function brief(change) {
  if (typeof change !== "object") return String(change);
  const told = JSON.parse(JSON.stringify(change, (_, value) => (value === null || value === "" ? undefined : value)));
  return Object.entries(told)
    .map(([member, value]) => [member, typeof value === "string" ? value : JSON.stringify(value)])
    .filter(([, text]) => text !== "{}" && text !== "[]")
    .map(([member, text]) => `${member}=${text}`)
    .join(" ");
}
