// One message: where its copies stand, and the whole story.

import { at, get, seesAll } from "../api.js";
import { h, put } from "../dom.js";
import { table } from "../list.js";
import { ending, steps } from "../story.js";
import { chip, time } from "../words.js";

export const name = ({ parts }) => `Message ${parts.id}`;

export async function show(content, { parts, signal }) {
  const [row, story] = await Promise.all([
    get(at`/v1/messages/${parts.id}`, null, signal),
    seesAll() ? get(at`/v1/messages/${parts.id}/story`, null, signal) : null,
  ]);
  put(
    content,
    row.recipients.length > 0 && h(
      "section",
      { class: "panel" },
      h("h2", null, "Copies"),
      table({
        caption: "Where each copy stands",
        empty: "It has no recipients.",
        rows: row.recipients,
        columns: [
          { head: "Recipient", class: "address", cell: (copy) => copy.recipient },
          { head: "State", cell: (copy) => chip(copy.status) },
          { head: "Since", class: "when", cell: (copy) => time(copy.at) },
          { head: "What was said", class: "text", cell: (copy) => [copy.code, copy.enhanced, copy.detail].filter(Boolean).join(" ") || "–" },
          { head: "Next attempt", class: "when", cell: (copy) => time(copy.next_attempt) },
        ],
      }),
    ),
    story && h("section", { class: "panel" }, h("h2", null, "What comes next"), ending(story.jobs, story.now)),
    h("section", { class: "panel" }, h("h2", null, "Story"), story ? steps(story.events) : shortSteps(row.steps)),
  );
}

/** The steps as tenants are told them. */
function shortSteps(rows) {
  const line = ({ at: moment, kind, recipients, detail }) =>
    h(
      "li",
      { class: `step ${kind}` },
      h("div", { class: "when" }, time(moment)),
      h("div", { class: "what" }, h("p", null, chip(kind), " ", [recipients.join(", "), detail].filter(Boolean).join(": "))),
    );
  return h("ol", { class: "steps" }, rows.map(line));
}
