// Endpoints that events are posted to, who else follows what happens, and how that goes.

import { at, get, may, patch, post, put as send, remove, seesAll, who } from "../api.js";
import { ask, tell } from "../dialog.js";
import { announce, h, put } from "../dom.js";
import { table } from "../list.js";
import { chip, count, relative, span, time } from "../words.js";

export const name = () => "Webhooks";

const SHOWN = 500;
const KINDS = "accepted rejected quarantined held released deferred delivered bounced expired discarded removed suppressed complained opened clicked unsubscribed".split(" ");

export async function show(content, { signal, verbs }) {
  const body = h("div", null);
  const look = async () => {
    const { webhooks } = await get("/v1/webhooks", null, signal);
    const { followers } = seesAll() ? await get("/v1/followers", null, signal) : { followers: [] };
    const others = followers.filter((row) => !row.name.startsWith("webhook/"));
    put(
      body,
      list(webhooks.slice(0, SHOWN), look),
      webhooks.length > SHOWN && h("p", { class: "muted" }, `${webhooks.length - SHOWN} more are not shown.`),
      others.length > 0 && [h("h2", null, "Others who follow what happens"), listOthers(others)],
    );
  };
  verbs(may("webhooks") && h("button", { type: "button", class: "button", onclick: () => add(look) }, "New webhook"));
  put(content, body);
  await look();
}

function list(rows, done) {
  return table({
    caption: "Webhooks",
    empty: "There is no webhook yet.",
    rows,
    columns: [
      { head: "Name", cell: (row) => [row.tenant, row.name].filter(Boolean).join("/") },
      { head: "State", cell: state },
      { head: "Address", class: "text", cell: (row) => [h("code", null, row.url), row.about && h("small", { class: "muted" }, ` ${row.about}`)] },
      { head: "Events", class: "text", cell: (row) => row.kinds.join(", ") || "all" },
      { head: "Posted", class: "number", cell: (row) => count(row.status.posted) },
      { head: "Behind", class: "number", cell: (row) => count(row.behind) },
      { head: "Last taken", class: "when", cell: (row) => time(row.status.last_taken_at) },
      { head: "", cell: (row) => may("webhooks") && acts(row, done) },
    ],
  });
}

function listOthers(rows) {
  return table({
    caption: "Others who follow what happens",
    rows,
    columns: [
      { head: "Name", cell: (row) => row.name },
      { head: "State", cell: (row) => (!row.configured ? [chip("not in the settings", "mute"), h("small", null, " ", h("code", null, `baton followers --forget ${row.name}`))] : row.status ? state({ paused: null, status: row.status }) : "–") },
      { head: "Published", class: "number", cell: (row) => (row.status ? count(row.status.posted) : "–") },
      { head: "Behind", class: "number", cell: (row) => count(row.behind) },
      { head: "Last taken", class: "when", cell: (row) => (row.status ? time(row.status.last_taken_at) : "–") },
    ],
  });
}

function state({ paused, status }) {
  if (paused !== null) return [chip("paused", "mute"), ` ${paused}`];
  if (status.failing_since === null) return chip("well", "good");
  const next = status.next_try_at ? `, tried again ${relative(status.next_try_at)}` : "";
  return [chip("failing", "bad"), h("small", { title: status.last_error }, ` ${status.failures > 0 ? `${status.failures} times within` : "before the start, for"} ${span(Date.now() - status.failing_since)}${next}: ${status.last_error ?? ""}`)];
}

function acts(row, done) {
  const whose = { tenant: row.tenant };
  const path = at`/v1/webhooks/${row.name}`;
  const all = [
    ["Test", async () => {
      const { taken, answer } = await post(`${path}/test`, undefined, whose);
      announce(`${taken ? "Taken" : "Not taken"}: ${answer}`, taken ? "note" : "bad");
    }],
    [row.paused === null ? "Pause" : "Go on", () => patch(path, { paused: row.paused === null }, whose)],
    ["Replay", () => ask({
      title: `Post again to ${row.name}`,
      text: "Everything that happened since then is posted once more.",
      fields: [{ name: "since", label: "Since", value: "1h", required: true, hint: "How long ago, such as 2h, or a moment as in RFC 3339." }],
      verb: "Replay",
      act: (values) => post(`${path}/replay`, undefined, { ...whose, ...values }),
    })],
    ["New secret", async () => {
      const made = await ask({ title: `A new secret for ${row.name}?`, text: "The one before counts for a day.", verb: "Make", act: () => post(`${path}/secret`, undefined, whose) });
      if (made) await showSecret(made);
    }],
    ["Remove", () => ask({ title: `Remove ${row.name}?`, text: "What it was not told it never is.", verb: "Remove", danger: true, act: () => remove(path, whose) }), true],
  ];
  const run = async (act) => {
    try {
      await act();
    } catch (error) {
      announce(error.message, "bad");
    }
    await done();
  };
  return h("span", { class: "verbs" }, all.map(([verb, act, isRisky]) => h("button", { type: "button", class: isRisky ? "button small risky" : "button small", "aria-label": `${verb}: ${row.name}`, onclick: () => run(act) }, verb)));
}

async function add(done) {
  const made = await ask({
    title: "New webhook",
    fields: [
      { name: "name", label: "Name", required: true },
      ...(who().tenant ? [] : [{ name: "tenant", label: "Of this tenant", hint: "Empty is the relay's own, which gets everybody's events." }]),
      { name: "url", label: "Address", type: "url", required: true, placeholder: "https://app.example/events" },
      { name: "kinds", label: "Events", hint: `Empty is all; else of ${KINDS.join(", ")}.` },
      { name: "about", label: "What it is for" },
    ],
    verb: "Make",
    act: ({ name, tenant, kinds, ...rest }) => send(at`/v1/webhooks/${name}`, { ...rest, kinds: kinds.split(/[\s,]+/).filter(Boolean) }, { tenant }),
  });
  if (made === undefined) return;
  await showSecret(made);
  await done();
}

function showSecret({ name, secret }) {
  return tell({ title: `The secret of ${name}`, text: "Whoever takes the posts checks their signatures by it. It is shown this once.", secret });
}
