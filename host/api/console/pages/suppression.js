// To whom nothing is sent, why, and since when.

import { at, get, may, post, remove, search, upload, who } from "../api.js";
import { ask, field } from "../dialog.js";
import { announce, failure, h, link, put } from "../dom.js";
import { pages, table } from "../list.js";
import { chip, count, time } from "../words.js";

export const name = () => "Suppression";

const PAGE = 50;
const REASONS = ["hard-bounce", "soft-bounce", "complaint", "unsubscribe", "manual", "spam-trap"];

export async function show(content, { query, signal, keep }) {
  const person = h("section", { class: "panel", hidden: true, "aria-live": "polite" });
  const fields = [
    field({ name: "text", label: "Address has", value: query.get("text") ?? "" }),
    field({ name: "tenant", label: "Tenant", value: query.get("tenant") ?? "" }),
    field({ name: "stream", label: "Stream", value: query.get("stream") ?? "" }),
    field({ name: "reason", label: "Reason", value: query.get("reason") ?? "", options: [["", "any"], ...REASONS] }),
    field({ name: "ended", label: "Ended ones too", type: "checkbox", value: query.get("ended") === "true" }),
  ];
  const asked = () => Object.fromEntries(fields.map(({ name, read }) => [name, read() === false ? "" : read()]));
  const list = pages({
    caption: "Suppressed addresses",
    empty: "Nobody is on a list like that.",
    columns: columns(() => list.refresh()),
    load: async (after) => {
      const page = await get("/v1/suppressions", { ...asked(), after, limit: PAGE }, signal);
      return { rows: page.entries, next: page.next };
    },
  });
  const seek = (event) => {
    event?.preventDefault();
    keep(asked());
    return list.reload();
  };
  const look = lookUp(person, () => list.refresh());
  const form = h(
    "form",
    { class: "filter", role: "search", "aria-label": "Which entries", onsubmit: seek },
    fields.map(({ element }) => element),
    h("div", { class: "verbs" }, h("button", { type: "submit", class: "button primary" }, "Show")),
  );
  const verbs = h(
    "div",
    { class: "verbs" },
    may("suppress") && h("button", { type: "button", class: "button", onclick: () => add(() => list.reload()) }, "Add"),
    may("suppress") && h("button", { type: "button", class: "button", onclick: () => bring(() => list.reload()) }, "Import"),
    may("suppress") && h("button", { type: "button", class: "button", onclick: () => download(asked()) }, "Export"),
  );
  put(content, h("div", { class: "toolbar" }, look, verbs), person, form, list.element);
  await list.reload();
}

function columns(changed) {
  return [
    { head: "Address", class: "address", cell: (row) => row.address ?? h("span", { class: "muted" }, "erased ", h("code", null, row.hash.slice(0, 12))) },
    { head: "Stops mail of", cell: scope },
    { head: "Reason", cell: (row) => chip(row.reason, row.holds ? "bad" : "mute") },
    { head: "Since, until", class: "when", cell: (row) => [time(row.since), h("small", { class: "under" }, row.until ? time(row.until) : "for ever")] },
    { head: "By", class: "text", cell: (row) => [h("small", null, row.by || "–"), row.message && [" ", link(`/messages/${row.message}`, "message")], row.note && h("small", { class: "muted" }, ` ${row.note}`)] },
    { head: "", cell: (row) => may("suppress") && row.address && h("button", { type: "button", class: "button small", "aria-label": `Remove ${row.address} from the list`, onclick: () => takeOff(row, changed) }, "Remove") },
  ];
}

function scope({ tenant, stream }) {
  return tenant || stream ? [tenant, stream].filter(Boolean).join("/") : "everybody";
}

/** Looks an address up: is mail to it stopped, and why. */
function lookUp(person, changed) {
  const address = field({ name: "address", label: "Is mail to this address stopped?", type: "email", required: true, placeholder: "ann@example.org" });
  const submit = async (event) => {
    event.preventDefault();
    person.hidden = false;
    try {
      const found = await get(at`/v1/suppressions/${address.read()}`);
      const holding = found.entries.filter((row) => row.holds);
      const verdict = holding.length === 0 ? `Mail to ${found.address} is not stopped.` : `Mail to ${found.address} is stopped for ${holding.map(scope).join(", ")}.`;
      put(
        person,
        h("h2", null, verdict),
        table({ caption: `Entries of ${found.address}`, empty: "It is on no list.", rows: found.entries, columns: columns(() => (submit(event), changed())) }),
      );
    } catch (error) {
      put(person, failure(error));
    }
  };
  return h("form", { class: "one-line", role: "search", "aria-label": "One address", onsubmit: submit }, address.element, h("button", { type: "submit", class: "button" }, "Look up"));
}

async function add(done) {
  const changed = await ask({
    title: "Stop mail to an address",
    fields: [
      { name: "address", label: "Address", type: "email", required: true },
      ...(who().tenant ? [] : [{ name: "tenant", label: "Of this tenant only", hint: "Empty stops everybody's mail." }]),
      { name: "stream", label: "Of this stream only" },
      { name: "reason", label: "Reason", options: REASONS, value: "manual" },
      { name: "days", label: "For so many days", hint: "Empty is as the settings say; 0 is for ever.", type: "number" },
      { name: "note", label: "Note" },
    ],
    verb: "Add",
    act: ({ days, tenant, stream, ...rest }) => {
      const entry = { ...rest, ...(days === "" ? {} : { days: Number(days) }), ...(tenant ? { tenant } : {}), ...(stream ? { stream } : {}) };
      return post("/v1/suppressions", { entries: [entry] });
    },
  });
  if (changed === undefined) return;
  announce("Nothing is sent there from now on.");
  done();
}

async function takeOff(row, done) {
  const removed = await ask({
    title: `Send to ${row.address} again?`,
    text: `The entry of ${scope(row)} (${row.reason}) is removed.`,
    verb: "Remove",
    danger: true,
    act: () => remove(at`/v1/suppressions/${row.address}`, { tenant: row.tenant, stream: row.stream }),
  });
  if (removed === undefined) return;
  announce(`${row.address} is off the list.`);
  done();
}

async function bring(done) {
  const picker = h("input", { type: "file", accept: ".csv,.json,.jsonl,.ndjson,text/csv,application/x-ndjson", "aria-label": "File with a list" });
  picker.addEventListener("change", async () => {
    const [file] = picker.files;
    if (!file) return;
    const result = await ask({
      title: `Import ${file.name}`,
      text: "A line of CSV with a header, or a JSON object in each line. Entries with a reason of their own keep it.",
      fields: [
        ...(who().tenant ? [] : [{ name: "tenant", label: "Of this tenant", hint: "Where a line does not say; empty is everybody's." }]),
        { name: "reason", label: "Reason where a line does not say", options: REASONS, value: "manual" },
      ],
      verb: "Import",
      act: (values) => upload("/v1/suppressions/import", file, "application/octet-stream", values),
    });
    if (result === undefined) return;
    announce(`${count(result.added)} added, ${count(result.refused)} lines refused${result.errors[0] ? `: line ${result.errors[0].line} ${result.errors[0].message}` : ""}`, result.refused > 0 ? "bad" : "note");
    done();
  });
  picker.click();
}

function download({ tenant, stream, reason, text, ended }) {
  const file = h("a", { href: "/v1/suppressions/export" + search({ tenant, stream, reason, text, ended, format: "csv" }), download: "suppression.csv" });
  document.body.append(file);
  file.click();
  file.remove();
}
