// What messages are made from: the templates of a tenant, and those that ship.

import { at, get, put as send, seesAll, who } from "../api.js";
import { ask, field } from "../dialog.js";
import { failure, h, link, put } from "../dom.js";
import { pages, table } from "../list.js";
import { chip, time } from "../words.js";

export const name = () => "Templates";

const PAGE = 50;

/** Where a new template begins when it begins with nothing. */
const EMPTY = { subject: "Hello {{ name }}", html: "<p>Hello {{ name }},</p>\n<p>…</p>\n", sample: { name: "Ann" } };

export async function show(content, { query, signal, keep, go, verbs }) {
  const own = who().tenant;
  const tenant = field({ name: "tenant", label: "Of the tenant", value: own ?? query.get("tenant") ?? "", placeholder: "the relay itself" });
  const list = pages({
    caption: "Templates",
    empty: () => `${tenant.read() ? `${tenant.read()} has no template` : "The relay itself has no template; name a tenant to see its templates"}. Begin with one of the ready-made ones below.`,
    columns: columns((row) => placeOf(row.name, tenant.read())),
    load: async (after) => {
      const page = await get("/v1/templates", { tenant: tenant.read(), after, limit: PAGE }, signal);
      return { rows: page.templates, next: page.next };
    },
  });
  const reload = (event) => {
    event?.preventDefault();
    if (!own) keep({ tenant: tenant.read() });
    return list.reload();
  };
  const form = h("form", { class: "one-line", role: "search", "aria-label": "Whose templates", onsubmit: reload }, tenant.element, h("button", { type: "submit", class: "button" }, "Show"));
  const ready = h("section", null);
  put(content, seesAll() && form, list.element, ready);
  const [shipped] = await Promise.all([get("/v1/templates", { ready: true }, signal).catch((error) => error), list.reload()]);
  if (shipped instanceof Error) {
    if (shipped.name !== "AbortError") put(ready, failure(shipped));
    return;
  }
  verbs(h("button", { type: "button", class: "button", onclick: () => create(tenant.read(), shipped.templates, go) }, "New template"));
  put(
    ready,
    h("h2", null, "Ready-made"),
    table({ caption: "Templates that ship", empty: "None ships.", rows: shipped.templates, columns: columns((row) => placeOf(row.name, tenant.read())).slice(0, -2) }),
  );
}

const columns = (place) => [
  { head: "Template", cell: (row) => link(place(row), row.name) },
  { head: "For", class: "text", cell: (row) => row.description || "–" },
  { head: "Subject", class: "text", cell: (row) => (row.subject ? h("code", null, row.subject) : h("span", { class: "muted" }, "none: a layout")) },
  { head: "Parts", cell: (row) => [row.parts.filter((part) => part !== "subject").join(", ") || "–", row.bulk && [" ", chip("to many", "info")]] },
  { head: "Version", class: "number", cell: (row) => row.version },
  { head: "Changed", class: "when", cell: (row) => time(row.changed_at) },
];

/** The page of one. */
export function placeOf(template, tenant, version) {
  const query = new URLSearchParams(Object.entries({ tenant, version }).filter(([, value]) => value));
  return at`/templates/${template}` + (query.size > 0 ? `?${query}` : "");
}

/** Makes a template like another one, or like none. */
async function create(tenant, shipped, go) {
  const made = await ask({
    title: tenant ? `New template of ${tenant}` : "New template of the relay itself",
    fields: [
      { name: "name", label: "Name", required: true, hint: "Lower case letters, digits, hyphens." },
      { name: "from", label: "Begin with", options: [["", "a greeting"], ...shipped.map((row) => row.name)] },
    ],
    verb: "Make",
    act: async ({ name, from }) => {
      const template = from ? (await get(at`/v1/templates/${from}`)).template : EMPTY;
      return send(at`/v1/templates/${name}`, template, { tenant }, { "if-match": '"0"' });
    },
  });
  if (made) go(placeOf(made.name, tenant));
}
