// What is loaded, in which order each hook asks it, how it does, and whether its answers count.

import { at, every, get, post, put as send, remove, runs } from "../api.js";
import { ask } from "../dialog.js";
import { announce, failure, h, put } from "../dom.js";
import { table } from "../list.js";
import { chip, count, latency, time } from "../words.js";

export const name = () => "Plugins";

export async function show(content, { signal, verbs }) {
  const view = h("div", { class: "page" });
  const look = async () => {
    try {
      const [serving, pulse] = await Promise.all([get("/v1/plugins", null, signal), get("/v1/pulse", { after: Date.now() }, signal)]);
      put(view, loaded(serving, pulse.plugins, look));
    } catch (error) {
      if (error.name !== "AbortError") put(view, failure(error));
    }
  };
  const reload = async () => {
    const report = await ask({
      title: "Reload settings and plugins?",
      text: "The file is read again. If anything in it is wrong, nothing is changed.",
      verb: "Reload",
      act: () => post("/v1/reload"),
    });
    if (!report) return;
    const waits = report.restart_needed.length > 0 ? `; after a restart: ${report.restart_needed.join(", ")}` : "";
    announce(`Generation ${report.generation} serves${report.applied.length > 0 ? `; new: ${report.applied.join(", ")}` : ""}${waits}.`);
    look();
  };
  verbs(runs() && h("button", { type: "button", class: "button", onclick: reload }, "Reload"));
  put(content, view);
  every(10_000, signal, look);
}

function loaded({ generation, plugins, order }, calls, done) {
  return [
    h(
      "section",
      { class: "panel" },
      h("h2", null, "Who is asked, in order"),
      table({
        caption: "The order of plugins at each hook",
        empty: "No hook asks anybody.",
        rows: order.filter(([, names]) => names.length > 0),
        columns: [
          { head: "Hook", cell: ([hook]) => h("code", null, hook) },
          { head: "Plugins", class: "text", cell: ([, names]) => names.join(" → ") },
        ],
      }),
    ),
    plugins.length === 0 && h("p", { class: "muted" }, "No plugin is loaded."),
    h("div", { class: "columns" }, plugins.map((row) => plugin(row, calls.filter((one) => one.plugin === row.name && row.hooks.includes(one.hook)), done))),
    h("p", { class: "muted" }, `Generation ${generation}.`),
  ];
}

function plugin(row, calls, done) {
  const isOpen = row.breaker.startsWith("open");
  const facts = [
    ["Version", [row.version ?? "–", " ", h("code", { title: row.digest }, row.digest.slice(0, 12))]],
    row.signer && ["Signed by", row.signer],
    ["Hooks", row.hooks.map((hook) => [h("code", null, hook), " "])],
    ["Mode", [chip(row.mode, row.mode === "enforce" ? "good" : "warn"), row.mode !== row.set_mode && h("small", { class: "muted" }, ` the settings say ${row.set_mode}`)]],
    row.next && ["Tried beside it", [trial(row.next), trial(row.next) !== trial(row.set_next) && h("small", { class: "muted" }, ` the settings say ${trial(row.set_next)}`)]],
    row.switch && ["Switched", [h("code", null, row.switch.by), " ", time(row.switch.at)]],
    ["When it fails", row.on_failure],
    ["Breaker", chip(row.breaker, isOpen ? "bad" : "good")],
    ["Instances", row.instances],
    ["May", row.grants.length === 0 ? "nothing but decide" : h("ul", null, row.grants.map((grant) => h("li", null, grant)))],
    ...calls.map(work),
  ].filter(Boolean);
  return h(
    "section",
    { class: "panel" },
    h("div", { class: "toolbar" }, h("h2", null, row.name), runs() && steering(row, done)),
    h("dl", { class: "facts" }, facts.map(([what, value]) => [h("dt", null, what), h("dd", null, value)])),
    row.advice.map((advice) => h("p", { class: "notice" }, advice)),
  );
}

/** What a new version is tried for. */
function trial({ digest, mode, percent, tenant }) {
  const share = mode === "canary" ? ` for ${percent} % of sessions${tenant ? ` and tenant ${tenant}` : ""}` : "";
  return `${digest} as ${mode}${share}`;
}

/** How it runs can be switched; it holds over reloads and restarts, until it is cleared. */
function steering(row, done) {
  const path = at`/v1/plugins/${row.name}/switch`;
  const counts = row.mode === "enforce";
  const other = counts ? "monitor" : "enforce";
  // What is as the settings say needs no switch.
  const steer = (switched) => (switched.mode || switched.next ? send(path, switched) : remove(path));
  const isSwitched = row.switch !== null;
  const kept = { mode: row.switch?.mode ?? null, next: row.switch?.next ?? null };
  const run = async (asking) => {
    if ((await ask(asking)) === undefined) return;
    announce(`${row.name} is switched, for new sessions.`);
    done();
  };
  const watch = () =>
    run({
      title: counts ? `Only watch ${row.name}?` : `Let the answers of ${row.name} count?`,
      text: counts ? "It is asked, stories tell what it would have done, and mail goes on as if it had said nothing." : "It decides about mail from now on.",
      verb: counts ? "Only watch" : "Let count",
      danger: counts,
      act: () => steer({ ...kept, mode: other === row.set_mode ? null : other }),
    });
  const tryNext = () =>
    run({
      title: `The new version beside ${row.name}`,
      fields: [
        { name: "mode", label: "Is", options: [["shadow", "shadow: asked too, and compared"], ["canary", "canary: serves a share"]], value: row.next.mode },
        { name: "percent", label: "Share of sessions in percent, of a canary", type: "number", value: String(row.next.percent), hint: "0 without a tenant lets it rest." },
        { name: "tenant", label: "Tenant that a canary serves, whatever the share", value: row.next.tenant ?? "" },
      ],
      verb: "Switch",
      act: ({ mode, percent, tenant }) => send(path, { ...kept, next: mode === "shadow" ? { mode } : { mode, percent: Number(percent), ...(tenant ? { tenant } : {}) } }),
    });
  const clear = () => run({ title: `Let ${row.name} run as the settings say?`, verb: "Clear", act: () => remove(path) });
  return h(
    "div",
    { class: "verbs" },
    h("button", { type: "button", role: "switch", class: "button small switch", "aria-checked": String(counts), "aria-label": `Answers of ${row.name} count`, onclick: watch }, "Answers count"),
    row.next && h("button", { type: "button", class: "button small", "aria-label": `New version of ${row.name}`, onclick: tryNext }, "New version"),
    isSwitched && h("button", { type: "button", class: "button small", "aria-label": `As the settings say: ${row.name}`, onclick: clear }, "As the settings say"),
  );
}

/** What it did at a hook since the relay's start. */
function work({ hook, calls, failures, call_ms: [half, most] }) {
  return [
    `At ${hook}`,
    [
      `${count(calls)} decisions, `,
      failures > 0 ? chip(`${count(failures)} failures`, "bad") : "no failure",
      half !== null && h("small", { class: "muted" }, `; median ${latency(half)}, p99 ${latency(most)}`),
    ],
  ];
}
