// Who may do what: operators of these pages, and tokens of programs.

import { at, get, patch, post, remove, seesAll, who } from "../api.js";
import { ask, field, tell } from "../dialog.js";
import { announce, h, put } from "../dom.js";
import { pages } from "../list.js";
import { chip, time } from "../words.js";

export const name = () => "Access";

const PAGE = 50;
const ROLES = [
  ["viewer", "viewer: looks"],
  ["operator", "operator: runs the mail"],
  ["admin", "admin: everything"],
];
const SCOPES = ["send", "read", "suppress", "templates", "webhooks", "admin"];

export async function show(content, { query, signal, keep }) {
  const people = seesAll() && operators(signal);
  const programs = tokens(query.get("tenant") ?? "", signal, keep);
  put(content, people?.element, programs.element);
  await Promise.all([people?.list.reload(), programs.list.reload()]);
}

function operators(signal) {
  const done = () => list.refresh();
  const list = pages({
    caption: "Operators",
    empty: "There is none.",
    columns: [
      { head: "Operator", cell: (row) => row.name },
      { head: "Role", cell: (row) => chip(row.role, row.role === "admin" ? "hold" : "plain") },
      { head: "Sees", cell: (row) => (row.tenant ? `tenant ${row.tenant}` : "the whole relay") },
      { head: "State", cell: (row) => (row.disabled ? chip("may not log in", "bad") : chip("may log in", "good")) },
      { head: "Note", class: "text", cell: (row) => row.note || "–" },
      { head: "Changed", class: "when", cell: (row) => time(row.changed_at) },
      { head: "", cell: (row) => verbs(row, done) },
    ],
    load: async (after) => {
      const page = await get("/v1/operators", { after, limit: PAGE }, signal);
      return { rows: page.operators, next: page.next };
    },
  });
  const make = () =>
    ask({
      title: "New operator",
      fields: [{ name: "name", label: "Name", required: true, hint: "Lower case letters, digits, hyphens." }, password(), ...rights(null)],
      verb: "Make",
      act: (values) => post("/v1/operators", values),
    }).then((made) => made && list.reload());
  const element = h("section", null, h("div", { class: "toolbar" }, h("h2", null, "Operators"), h("button", { type: "button", class: "button", onclick: make }, "New operator")), list.element);
  return { element, list };
}

const password = () => ({ name: "password", label: "Password", type: "password", required: true, autocomplete: "new-password", hint: "12 characters or more." });

const rights = (row) => [
  { name: "role", label: "Role", options: ROLES, value: row?.role ?? "viewer" },
  { name: "tenant", label: "Sees this tenant only", value: row?.tenant ?? "" },
  { name: "note", label: "Note", value: row?.note ?? "" },
];

function verbs(row, done) {
  const isMe = row.name === who().name;
  const path = at`/v1/operators/${row.name}`;
  const over = "Its sessions end.";
  const acts = [
    ["Change", () => ask({ title: `Change ${row.name}`, text: over, fields: [...rights(row), { name: "disabled", label: "May not log in", type: "checkbox", value: row.disabled }], verb: "Change", act: (values) => patch(path, values) })],
    ["Password", () => ask({ title: `A new password for ${row.name}`, text: over, fields: [password()], verb: "Set", act: (values) => patch(path, values) })],
    !isMe && ["Remove", () => ask({ title: `Remove ${row.name}?`, text: over, verb: "Remove", danger: true, act: () => remove(path) }), true],
  ].filter(Boolean);
  return h("span", { class: "verbs" }, acts.map(([verb, act, isRisky]) => h("button", { type: "button", class: isRisky ? "button small risky" : "button small", "aria-label": `${verb}: ${row.name}`, onclick: () => act().then((result) => result && done()) }, verb)));
}

function tokens(chosen, signal, keep) {
  const whose = seesAll() && field({ name: "tenant", label: "Of the tenant", value: chosen, placeholder: "the relay itself" });
  const tenant = () => (whose ? whose.read() : "");
  const list = pages({
    caption: "Tokens of programs",
    empty: "There is none.",
    columns: [
      { head: "Token", cell: (row) => h("code", null, row.id) },
      { head: "May", cell: (row) => h("span", { class: "chips" }, row.scopes.map((scope) => chip(scope, "plain"))) },
      { head: "Stream", cell: (row) => [row.tenant, row.stream].filter(Boolean).join("/") || "–" },
      { head: "State", cell: (row) => (row.disabled ? chip("disabled", "bad") : row.expires_at && row.expires_at < Date.now() ? chip("ended", "mute") : chip("counts", "good")) },
      { head: "From", class: "text", cell: (row) => row.networks.join(", ") || "everywhere" },
      { head: "Used", class: "when", cell: (row) => (row.used_at ? time(row.used_at) : "never") },
      { head: "Ends", class: "when", cell: (row) => (row.expires_at ? time(row.expires_at) : "never") },
      { head: "Note", class: "text", cell: (row) => row.note || "–" },
      { head: "", cell: (row) => h("button", { type: "button", class: "button small risky", "aria-label": `Remove the token ${row.id}`, onclick: () => drop(row, () => list.refresh()) }, "Remove") },
    ],
    load: async (after) => {
      const page = await get("/v1/tokens", { tenant: tenant(), after, limit: PAGE }, signal);
      return { rows: page.tokens, next: page.next };
    },
  });
  const make = async () => {
    const made = await ask({
      title: "New token",
      fields: [
        ...(seesAll() ? [{ name: "tenant", label: "Of this tenant", value: tenant(), hint: "Empty is the relay's own, which sees all." }] : []),
        { name: "stream", label: "For this stream only" },
        ...SCOPES.map((scope) => ({ name: scope, label: scope, type: "checkbox", value: scope === "send" })),
        { name: "days", label: "For so many days", type: "number", hint: "Empty is for ever." },
        { name: "note", label: "Note" },
      ],
      verb: "Make",
      act: ({ tenant: whose, stream, days, note, ...given }) =>
        post("/v1/tokens", {
          ...(whose ? { tenant: whose } : {}),
          ...(stream ? { stream } : {}),
          ...(days ? { expires_at: Date.now() + Number(days) * 86_400_000 } : {}),
          scopes: SCOPES.filter((scope) => given[scope]),
          note,
        }),
    });
    if (!made) return;
    await tell({ title: `The token ${made.id}`, text: "Programs show it as `Authorization: Bearer`. It is shown this once.", secret: made.token });
    list.reload();
  };
  const pick =
    whose &&
    h(
      "form",
      {
        class: "one-line",
        role: "search",
        "aria-label": "Whose tokens",
        onsubmit: (event) => {
          event.preventDefault();
          keep({ tenant: tenant() });
          list.reload();
        },
      },
      whose.element,
      h("button", { type: "submit", class: "button" }, "Show"),
    );
  const element = h(
    "section",
    null,
    h("div", { class: "toolbar" }, h("h2", null, "Tokens"), h("button", { type: "button", class: "button", onclick: make }, "New token")),
    pick && h("div", { class: "toolbar" }, pick),
    list.element,
  );
  return { element, list };
}

async function drop(row, done) {
  const gone = await ask({ title: `Remove the token ${row.id}?`, text: "It is worth nothing from then on.", verb: "Remove", danger: true, act: () => remove(at`/v1/tokens/${row.id}`) });
  if (gone === undefined) return;
  announce("The token is worth nothing any more.");
  done();
}
