// Who sends, and as what: tenants, and the streams of one of them, with what became of their mail.

import { at, get, may, patch, post, remove, seesAll, who } from "../api.js";
import { ask, field } from "../dialog.js";
import { announce, failure, h, link, put } from "../dom.js";
import { pages } from "../list.js";
import { chip, count, latency, percent, time } from "../words.js";

export const name = () => "Streams";

const PAGE = 50;

export async function show(content, { query, signal, keep }) {
  const own = who().tenant;
  const tenant = field({ name: "tenant", label: "Tenant", value: own ?? query.get("tenant") ?? "", placeholder: "the relay itself" });
  const named = () => tenant.read();
  const sums = h("section", { class: "panel", hidden: true });
  const streams = pages({
    caption: "Streams",
    empty: () => (named() ? `${named()} has no stream.` : "The relay itself has no stream. Choose a tenant to see its streams."),
    columns: [
      { head: "Stream", cell: (row) => link(`/messages?${new URLSearchParams({ tenant: row.tenant ?? "", stream: row.name })}`, row.name) },
      { head: "Kind", cell: (row) => row.kind },
      { head: "State", cell: (row) => (row.disabled ? chip("disabled", "bad") : chip("takes mail", "good")) },
      { head: "Priority", class: "number", cell: (row) => row.priority },
      { head: "Pool", cell: (row) => row.pool ?? "–" },
      { head: "Bounds", class: "text", cell: (row) => quota(row.quota) },
      { head: "Follows", cell: (row) => [row.tracking.opens && "opens", row.tracking.clicks && "clicks"].filter(Boolean).join(", ") || "nothing" },
      { head: "Note", class: "text", cell: (row) => row.note || "–" },
      { head: "", cell: (row) => may("admin") && verbs(row) },
    ],
    load: async (after) => {
      const page = await get("/v1/streams", { tenant: named(), after, limit: PAGE }, signal);
      return { rows: page.streams, next: page.next };
    },
  });
  const verbs = (row) =>
    h(
      "span",
      { class: "verbs" },
      h("button", { type: "button", class: "button small", "aria-label": `Change ${row.name}`, onclick: () => change(row, () => streams.refresh()) }, "Change"),
      h("button", { type: "button", class: "button small risky", "aria-label": `Remove ${row.name}`, onclick: () => drop(row, () => streams.refresh()) }, "Remove"),
    );
  const outcome = async () => {
    try {
      const report = await get("/v1/reports/mail", { since: "24h", tenant: named(), by: "stream", limit: 10 }, signal);
      const rows = report.rows.filter((row) => row.counts.accepted || row.counts.delivered);
      sums.hidden = rows.length === 0;
      put(sums, h("h2", null, "Last 24 hours"), h("ul", { class: "cards" }, rows.map(card)));
    } catch (error) {
      if (error.name !== "AbortError") put(sums, failure(error));
    }
  };
  const reload = () => {
    if (!own) keep({ tenant: named() });
    return Promise.all([streams.reload(), outcome()]);
  };
  const form = h(
    "form",
    { class: "one-line", role: "search", onsubmit: (event) => (event.preventDefault(), reload()) },
    tenant.element,
    h("button", { type: "submit", class: "button" }, "Show"),
  );
  const make = may("admin") && h("button", { type: "button", class: "button", onclick: () => create(named(), () => streams.reload()) }, "New stream");
  put(content, seesAll() && tenants((picked) => ((tenant.input.value = picked), reload()), signal), h("h2", null, "Streams"), h("div", { class: "toolbar" }, seesAll() ? form : h("span", null), make), sums, streams.element);
  await reload();
}

/** All tenants; choosing one shows its streams. */
function tenants(pick, signal) {
  const list = pages({
    caption: "Tenants",
    empty: "There is no tenant yet.",
    columns: [
      { head: "Tenant", cell: (row) => h("button", { type: "button", class: "as-link", onclick: () => pick(row.name) }, row.name) },
      { head: "State", cell: (row) => (row.suspended ? [chip("suspended", "bad"), ` ${row.suspended}`] : chip("may send", "good")) },
      { head: "Domains", class: "text", cell: (row) => row.domains.slice(0, 5).join(", ") + (row.domains.length > 5 ? ` and ${row.domains.length - 5} more` : "") || "–" },
      { head: "Bounds", class: "text", cell: (row) => quota(row.quota) },
      { head: "Note", class: "text", cell: (row) => row.note || "–" },
      { head: "Made", class: "when", cell: (row) => time(row.created_at) },
      { head: "", cell: (row) => may("admin") && h("button", { type: "button", class: row.suspended ? "button small" : "button small risky", onclick: () => suspend(row, () => list.refresh()) }, row.suspended ? "Let send" : "Suspend") },
    ],
    load: async (after) => {
      const page = await get("/v1/tenants", { after, limit: 20 }, signal);
      return { rows: page.tenants, next: page.next };
    },
  });
  const make = () =>
    ask({
      title: "New tenant",
      fields: [
        { name: "name", label: "Name", required: true, hint: "Lower case letters, digits, hyphens." },
        { name: "domains", label: "Domains in whose name it sends", placeholder: "acme.example shop.example" },
        { name: "note", label: "Note" },
      ],
      verb: "Make",
      act: ({ domains, ...rest }) => post("/v1/tenants", { ...rest, domains: domains.split(/[\s,]+/).filter(Boolean) }),
    }).then((made) => made && list.reload());
  list.reload();
  return h(
    "section",
    null,
    h("div", { class: "toolbar" }, h("h2", null, "Tenants"), may("admin") && h("button", { type: "button", class: "button", onclick: make }, "New tenant")),
    list.element,
  );
}

async function suspend(row, done) {
  const changed = await ask(
    row.suspended
      ? { title: `Let ${row.name} send again?`, verb: "Let send", act: () => patch(at`/v1/tenants/${row.name}`, { suspended: "", version: row.version }) }
      : {
          title: `Suspend ${row.name}`,
          text: "No more mail of it is taken, in all its streams.",
          fields: [{ name: "suspended", label: "Reason", required: true }],
          verb: "Suspend",
          danger: true,
          act: (values) => patch(at`/v1/tenants/${row.name}`, { ...values, version: row.version }),
        },
  );
  if (changed) done();
}

function card(row) {
  const figures = [
    ["accepted", count(row.counts.accepted ?? 0)],
    ["delivered", percent(row.rates.delivered)],
    ["bounced", percent(row.rates.bounced)],
    ["median", latency(row.latency.p50_ms)],
  ];
  return h("li", { class: "card" }, h("strong", null, row.stream || "of no stream"), h("dl", { class: "facts" }, figures.map(([what, value]) => [h("dt", null, what), h("dd", null, value)])));
}

function quota(bounds) {
  const names = { messages_per_hour: "messages an hour", messages_per_day: "messages a day", recipients_per_hour: "recipients an hour", recipients_per_day: "recipients a day" };
  const said = Object.entries(names).filter(([key]) => bounds[key] !== null && bounds[key] !== undefined);
  return said.map(([key, words]) => `${count(bounds[key])} ${words}`).join(", ") || "none";
}

const STREAM = (row) => [
  { name: "kind", label: "Kind", options: ["transactional", "bulk"], value: row?.kind ?? "transactional" },
  { name: "priority", label: "Priority, -9 to 9", type: "number", value: String(row?.priority ?? 0) },
  { name: "note", label: "Note", value: row?.note ?? "" },
  { name: "opens", label: "Follow whether messages are opened", type: "checkbox", value: row?.tracking.opens ?? false },
  { name: "clicks", label: "Follow which links are clicked", type: "checkbox", value: row?.tracking.clicks ?? false },
  { name: "disabled", label: "Take nothing for it", type: "checkbox", value: row?.disabled ?? false },
];

const asStream = ({ opens, clicks, priority, ...rest }) => ({ ...rest, priority: Number(priority), tracking: { opens, clicks } });

async function create(tenant, done) {
  const made = await ask({
    title: tenant ? `New stream of ${tenant}` : "New stream of the relay itself",
    fields: [{ name: "name", label: "Name", required: true, hint: "Lower case letters, digits, hyphens." }, ...STREAM(null)],
    verb: "Make",
    act: (values) => post("/v1/streams", { ...asStream(values), ...(tenant ? { tenant } : {}) }),
  });
  if (made) done();
}

async function change(row, done) {
  const changed = await ask({
    title: `Change ${row.name}`,
    fields: STREAM(row),
    verb: "Change",
    act: (values) => patch(at`/v1/streams/${row.name}`, { ...asStream(values), version: row.version }, { tenant: row.tenant }),
  });
  if (changed) done();
}

async function drop(row, done) {
  const gone = await ask({
    title: `Remove the stream ${row.name}?`,
    text: "What it has in the queue is delivered; no more is taken for it.",
    verb: "Remove",
    danger: true,
    act: () => remove(at`/v1/streams/${row.name}`, { tenant: row.tenant }),
  });
  if (gone === undefined) return;
  announce(`${row.name} is removed.`);
  done();
}
