// What is loaded, in which order each hook asks it, and how it does.

import { every, get, post, runs } from "../api.js";
import { ask } from "../dialog.js";
import { announce, failure, h, put } from "../dom.js";
import { table } from "../list.js";
import { chip, count, latency } from "../words.js";

export const name = () => "Plugins";

export async function show(content, { signal, verbs }) {
  const view = h("div", { class: "page" });
  const look = async () => {
    try {
      const [serving, pulse] = await Promise.all([get("/v1/plugins", null, signal), get("/v1/pulse", { after: Date.now() }, signal)]);
      put(view, loaded(serving, pulse.plugins));
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

function loaded({ generation, plugins, order }, calls) {
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
    h("div", { class: "columns" }, plugins.map((row) => plugin(row, calls.filter((one) => one.plugin === row.name && row.hooks.includes(one.hook))))),
    h("p", { class: "muted" }, `Generation ${generation}.`),
  ];
}

function plugin(row, calls) {
  const isOpen = row.breaker.startsWith("open");
  const facts = [
    ["Version", [row.version ?? "–", " ", h("code", { title: row.digest }, row.digest.slice(0, 12))]],
    row.signer && ["Signed by", row.signer],
    ["Hooks", row.hooks.map((hook) => [h("code", null, hook), " "])],
    ["Mode", chip(row.mode, row.mode === "enforce" ? "good" : "warn")],
    row.next && ["Tried beside it", row.next],
    ["When it fails", row.on_failure],
    ["Breaker", chip(row.breaker, isOpen ? "bad" : "good")],
    ["Instances", row.instances],
    ["May", row.grants.length === 0 ? "nothing but decide" : h("ul", null, row.grants.map((grant) => h("li", null, grant)))],
    ...calls.map(work),
  ].filter(Boolean);
  return h(
    "section",
    { class: "panel" },
    h("h2", null, row.name),
    h("dl", { class: "facts" }, facts.map(([what, value]) => [h("dt", null, what), h("dd", null, value)])),
    row.advice.map((advice) => h("p", { class: "notice" }, advice)),
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
