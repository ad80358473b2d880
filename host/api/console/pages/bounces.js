// What was given up, by reason, and the newest of it with what was said.

import { get } from "../api.js";
import { field } from "../dialog.js";
import { failure, h, link, put } from "../dom.js";
import { table } from "../list.js";
import { bar, plot } from "../plot.js";
import { chip, count, owner, percent, short, time, timeline } from "../words.js";

export const name = () => "Bounces";

const RANGES = [
  ["24h", "a day"],
  ["7d", "a week"],
  ["30d", "30 days"],
];
const NEWEST = 100;
const REASONS = 50;

export async function show(content, { query, signal, keep }) {
  const fields = [
    field({ name: "since", label: "Within", options: RANGES, value: query.get("since") ?? "24h" }),
    field({ name: "tenant", label: "Tenant", value: query.get("tenant") ?? "" }),
    field({ name: "stream", label: "Stream", value: query.get("stream") ?? "" }),
  ];
  const asked = () => Object.fromEntries(fields.map(({ name, read }) => [name, read()]));
  const chart = plot({
    title: "Given up and complained about",
    format: short,
    series: [
      { name: "bounced", tone: "failed" },
      { name: "expired", tone: "deferred" },
      { name: "complaints", tone: "held" },
    ],
  });
  const reasons = h("section", { class: "panel" });
  const newest = h("section", { class: "panel" });
  const look = async () => {
    const wanted = asked();
    keep(wanted);
    const step = wanted.since === "24h" ? "hour" : "day";
    try {
      const [flow, why, events] = await Promise.all([
        get("/v1/reports/mail", { ...wanted, step }, signal),
        get("/v1/reports/mail", { ...wanted, by: "provider,reason", limit: 1000 }, signal),
        newestOf(wanted, signal),
      ]);
      const [moments, parts] = timeline(flow, step === "hour" ? 1 : 24);
      const of = (what) => parts.map((row) => row.counts[what] ?? 0);
      chart.update(moments, [of("bounced"), of("expired"), of("complained")]);
      put(reasons, h("h2", null, "By reason"), byReason(why.rows));
      put(newest, h("h2", null, "The newest"), byTime(events));
    } catch (error) {
      if (error.name !== "AbortError") put(reasons, failure(error));
    }
  };
  const form = h(
    "form",
    {
      class: "filter",
      role: "search",
      "aria-label": "Which bounces",
      onsubmit: (event) => {
        event.preventDefault();
        look();
      },
    },
    fields.map(({ element }) => element),
    h("div", { class: "verbs" }, h("button", { type: "submit", class: "button primary" }, "Show")),
  );
  put(content, form, chart.element, reasons, newest);
  await look();
}

/** The feed is read from the beginning of the range; its end is what is newest. */
async function newestOf({ since, tenant, stream }, signal) {
  let events = [];
  let after;
  for (let pages = 0; pages < 20; pages += 1) {
    const from = after ? { after } : { since };
    const page = await get("/v1/events", { kind: "bounced,expired,complained", tenant, stream, limit: 1000, ...from }, signal);
    events = [...events, ...page.events].slice(-NEWEST);
    after = page.next;
    if (!page.more) break;
  }
  return events.reverse();
}

function byReason(rows) {
  const bad = (row) => (row.counts.bounced ?? 0) + (row.counts.expired ?? 0);
  const sorted = rows.filter((row) => bad(row) > 0).sort((one, other) => bad(other) - bad(one));
  const all = sorted.reduce((sum, row) => sum + bad(row), 0);
  return table({
    caption: "Bounces by reason and provider",
    empty: "Nothing was given up.",
    rows: sorted.slice(0, REASONS),
    columns: [
      { head: "Reason", cell: (row) => row.reason || "–" },
      { head: "Provider", cell: (row) => row.provider || "–" },
      { head: "Copies", class: "number", cell: (row) => count(bad(row)) },
      { head: "Of all", class: "number", cell: (row) => percent(bad(row) / all) },
      { head: "Share", class: "share", cell: (row) => bar(bad(row) / all, "failed") },
    ],
  });
}

function byTime(events) {
  return table({
    caption: "The newest bounces and complaints",
    empty: "There is none.",
    rows: events,
    columns: [
      { head: "When", class: "when", cell: (event) => time(event.time) },
      { head: "What", cell: (event) => chip(event.type) },
      { head: "Recipient", class: "address", cell: (event) => link(`/messages/${event.message}`, event.recipient ?? event.message) },
      { head: "Reason", cell: (event) => event.reason ?? "–" },
      { head: "What was said", class: "text", cell: (event) => said(event) },
      { head: "Stream", cell: (event) => owner(event.tenant, event.stream) },
    ],
  });
}

function said({ reply, by, host }) {
  const words = reply ? [reply.code, reply.enhanced, reply.text].filter(Boolean).join(" ") : by;
  return words ? h("q", { class: "said", title: host }, words) : "–";
}
