// What holds mail back or slows it down, and how new sources come along.

import { at, every, get, post, remove, runs } from "../api.js";
import { ask } from "../dialog.js";
import { announce, failure, h, put } from "../dom.js";
import { table } from "../list.js";
import { plan } from "../plan.js";
import { bar } from "../plot.js";
import { chip, count, relative, time } from "../words.js";

export const name = () => "Shaping";

/** Plans that are drawn at most. */
const DRAWN_MAX = 60;

export async function show(content, { signal, verbs }) {
  const measures = h("section", { class: "panel" });
  const plans = h("section", { class: "panel" });
  const pictures = drawings();
  const look = async () => {
    try {
      const [held, warm] = await Promise.all([get("/v1/shaping", null, signal), get("/v1/warmup", null, signal)]);
      put(measures, h("h2", null, "What holds now"), holding(held, look));
      put(plans, h("h2", null, "Warm-up of sources"), warming(warm));
      pictures.show(warm.warmups);
    } catch (error) {
      if (error.name !== "AbortError") put(measures, failure(error));
    }
  };
  verbs(runs() && h("button", { type: "button", class: "button", onclick: () => suspend(look) }, "Suspend mail"));
  put(content, measures, plans, pictures.element);
  every(10_000, signal, look);
}

function holding({ now, measures }, done) {
  return table({
    caption: "Measures that hold",
    empty: "Nothing holds mail back.",
    rows: measures,
    columns: [
      { head: "Mail", class: "text", cell: (row) => scope(row.scope) },
      { head: "Is", cell: (row) => action(row.action) },
      { head: "Why, by", class: "text", cell: (row) => [row.reason, h("small", { class: "under" }, row.rule)] },
      { head: "Since", class: "when", cell: (row) => time(row.since) },
      { head: "Ends", class: "when", cell: (row) => (row.until ? relative(row.until, now) : "when somebody lifts it") },
      { head: "", cell: (row) => runs() && h("button", { type: "button", class: "button small", "aria-label": `Lift ${scope(row.scope)}`, onclick: () => lift(row, done) }, "Lift") },
    ],
  });
}

function scope(one) {
  const parts = Object.entries(one).filter(([, value]) => value !== null);
  return parts.map(([what, value]) => `${what} ${value}`).join(", ") || "all mail";
}

function action(one) {
  if (one === "bounce") return chip("given up", "bad");
  if (typeof one === "object") return chip(`${Object.values(one)[0]}× slower`, "warn");
  return chip("suspended", "hold");
}

async function lift(row, done) {
  const lifted = await ask({
    title: `Lift it for ${scope(row.scope)}?`,
    text: row.reason,
    verb: "Lift",
    act: () => remove(at`/v1/shaping/${row.id}`),
  });
  if (lifted === undefined) return;
  announce("Mail goes on.");
  done();
}

async function suspend(done) {
  const made = await ask({
    title: "Suspend mail",
    text: "What fits all that is named waits.",
    fields: [
      ...["domain", "provider", "site", "source", "tenant", "stream"].map((what) => ({ name: what, label: what[0].toUpperCase() + what.slice(1) })),
      { name: "for", label: "For", placeholder: "2h", hint: "Empty is until somebody lifts it." },
      { name: "reason", label: "Reason", required: true },
    ],
    verb: "Suspend",
    danger: true,
    act: (values) => post("/v1/shaping", Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""))),
  });
  if (made) done();
}

/** A picture of each plan; those that have not changed stay as they are. */
function drawings() {
  const element = h("div", { class: "plots" });
  const open = new Set();
  let shown = "";
  return {
    element,
    show(rows) {
      const drawn = rows.filter(({ days }) => days.length > 0).slice(0, DRAWN_MAX);
      const text = JSON.stringify(drawn);
      if (text === shown) return;
      shown = text;
      const keep = (key) => (isOpen) => (isOpen ? open.add(key) : open.delete(key));
      put(element, drawn.map((row) => ((key) => plan(row, open.has(key), keep(key)))(`${row.source} ${row.provider}`)));
    },
  };
}

const STATES = { warm: "good", open: "good", spread: "info", used: "warn", stopped: "bad" };

function warming({ now, warmups }) {
  return table({
    caption: "Where each new source stands",
    empty: "No source follows a plan.",
    rows: warmups,
    columns: [
      { head: "Source", cell: (row) => row.source },
      { head: "Provider", cell: (row) => row.provider },
      { head: "Plan", cell: (row) => `${row.plan}, ${row.day > row.days.length ? "done" : `day ${row.day} of ${row.days.length}`}` },
      { head: "Today", class: "number", cell: (row) => (row.day > row.days.length ? count(row.sent) : `${count(row.sent)} of ${count(row.days[row.day - 1])}`) },
      { head: "Share", class: "share", cell: (row) => row.day <= row.days.length && bar(row.sent / Math.max(1, row.days[row.day - 1]), "accepted") },
      { head: "Deferred", class: "number", cell: (row) => count(row.deferred) },
      { head: "Complaints", class: "number", cell: (row) => count(row.complaints) },
      { head: "State", cell: (row) => [chip(row.state, STATES[row.state]), row.next && ` ${relative(row.next, now)}`] },
    ],
  });
}
