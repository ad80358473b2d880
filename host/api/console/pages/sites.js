// Where mail goes now: each site, its connections, and what the next message waits for.

import { every, get } from "../api.js";
import { failure, h, link, put } from "../dom.js";
import { table } from "../list.js";
import { chip, count, time } from "../words.js";

export const name = () => "Sites";

const TOP = 200;

export async function show(content, { signal }) {
  const sites = h("section", { class: "panel" });
  const lists = h("section", { class: "panel" });
  put(content, sites, lists);
  every(5_000, signal, async () => {
    try {
      const [view, listings] = await Promise.all([get("/v1/sites", null, signal), get("/v1/blocklists", null, signal)]);
      put(sites, h("h2", null, "In use"), inUse(view.sites));
      put(lists, h("h2", null, "Blocklists about our addresses"), listed(listings.listings), listings.awaited > 0 && h("p", { class: "muted" }, `${count(listings.awaited)} more are asked just now.`));
    } catch (error) {
      if (error.name !== "AbortError") put(sites, failure(error));
    }
  });
}

function inUse(sites) {
  const more = sites.length > TOP && h("p", { class: "muted" }, `${count(sites.length - TOP)} smaller ones are not shown.`);
  return [
    table({
      caption: "Sites in use, the fullest first",
      empty: "Nothing is delivered at the moment.",
      rows: sites.slice(0, TOP),
      columns: [
        { head: "Site", class: "address", cell: (row) => link(`/queue?site=${encodeURIComponent(row.site)}`, row.site) },
        { head: "Provider", cell: (row) => row.provider ?? "–" },
        { head: "By", cell: (row) => row.source || "–" },
        { head: "Ready", class: "number", cell: (row) => count(row.ready) },
        { head: "Connections", class: "number", cell: (row) => `${row.connections} of ${Math.min(row.allowed, row.bound)}` },
        { head: "Pace", cell: (row) => (row.slower > 1 ? chip(`${row.slower}× slower`, "warn") : chip("full", "good")) },
        { head: "Waits for", class: "text", cell: (row) => row.waits ?? "–" },
      ],
    }),
    more,
  ];
}

function listed(rows) {
  return table({
    caption: "What blocklists say",
    empty: "None is asked; the setting blocklists.lists names them.",
    rows,
    columns: [
      { head: "Address", cell: (row) => h("code", null, row.address) },
      { head: "Source", cell: (row) => row.source || "–" },
      { head: "List", cell: (row) => row.list },
      { head: "State", cell: (row) => chip(row.state, { clear: "good", listed: "bad" }[row.state] ?? "warn") },
      { head: "Reason", class: "text", cell: (row) => row.reason ?? "–" },
      { head: "Since", class: "when", cell: (row) => time(row.since) },
      { head: "Asked", class: "when", cell: (row) => time(row.asked) },
    ],
  });
}
