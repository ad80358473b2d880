// One template: its sources and versions, how it looks with data, and what is wrong with it.

import { at, get, may, post, put as send, remove } from "../api.js";
import { ask, field } from "../dialog.js";
import { announce, failure, h, put } from "../dom.js";
import { chip, stamp } from "../words.js";
import { placeOf } from "./templates.js";

export const name = ({ parts }) => parts.template;

/** How long nobody types before the preview follows. */
const PAUSE_MS = 700;
const TONES = { error: "bad", warning: "warn", note: "info" };
const WIDTHS = { wide: "Wide", narrow: "Narrow", text: "Text" };

export async function show(content, { parts, query, signal, go, verbs }) {
  const isReady = parts.template.startsWith("ready/");
  const whose = { tenant: query.get("tenant") };
  const wanted = query.get("version");
  const path = at`/v1/templates/${parts.template}`;
  const [view, kept] = await Promise.all([
    get(path, { ...whose, version: wanted }, signal),
    isReady ? { versions: [] } : get(`${path}/versions`, whose, signal),
  ]);
  const newest = kept.versions.at(-1)?.version ?? view.version;
  const isNewest = view.version === newest;
  const form = sources(view.template, isReady || !isNewest);
  const looks = preview(path, whose, signal, (data) => (form.isFixed ? { version: isReady ? null : view.version, data } : { template: form.read(), data }));
  const there = (version) => go(placeOf(parts.template, whose.tenant, version));
  const subject = { name: parts.template, path, whose, view, newest };

  const follow = () => looks.look(form.data.input);
  let timer = null;
  form.element.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(follow, PAUSE_MS);
  });
  signal.addEventListener("abort", () => clearTimeout(timer));

  verbs(
    !isReady && isNewest && button("Save as a new version", () => save(subject, form, there), "primary"),
    !isReady && !isNewest && button(`Restore version ${view.version}`, () => restore(subject, there), "primary"),
    button("Copy", () => copy(subject, go)),
    may("send") && button("Test send", () => testSend(subject, form)),
    !isReady && button("Remove", () => drop(subject, go), "risky"),
  );
  put(
    content,
    !isReady && versions(kept.versions, view.version, newest, there),
    h("div", { class: "columns editor" }, form.element, looks.element),
  );
  await follow();
}

const button = (verb, act, kind = "") => h("button", { type: "button", class: `button ${kind}`, onclick: act }, verb);

/** Which version one sees. */
function versions(rows, shown, newest, there) {
  const options = rows.toReversed().map((row) => [String(row.version), `${row.version}, of ${stamp(row.changed_at)}${row.version === newest ? " (in use)" : ""}`]);
  const pick = field({ name: "version", label: "Version", options, value: String(shown) });
  pick.input.addEventListener("change", () => there(pick.read() === String(newest) ? null : pick.read()));
  const old = shown !== newest && h("p", { class: "notice" }, `This is an old version; ${newest} is in use.`);
  return h("div", { class: "one-line" }, pick.element, old);
}

/** What a template is made of. */
function sources(template, isFixed) {
  const parts = [
    field({ name: "description", label: "What it is for", value: template.description ?? "", readonly: isFixed }),
    field({ name: "subject", label: "Subject", value: template.subject ?? "", readonly: isFixed, hint: "Empty makes it a layout, which others extend." }),
    field({ name: "html", label: "HTML", type: "textarea", rows: 16, value: template.html ?? "", readonly: isFixed }),
    field({ name: "text", label: "Text", type: "textarea", rows: 4, value: template.text ?? "", readonly: isFixed, hint: "Empty is made from the HTML." }),
    field({ name: "bulk", label: "Goes to many", type: "checkbox", value: template.bulk ?? false, disabled: isFixed }),
  ];
  const data = field({ name: "data", label: "Data for the preview (JSON)", type: "textarea", rows: 10, value: JSON.stringify(template.sample ?? {}, null, 2), hint: isFixed ? "Only for this preview." : "Saved with the template as its sample." });
  return {
    isFixed,
    data,
    element: h("section", { class: "panel stack" }, h("h2", null, "Source"), parts.map(({ element }) => element), data.element),
    /** As it would be saved. */
    read() {
      const [description, subject, html, text, bulk] = parts.map(({ input }) => (input.type === "checkbox" ? input.checked : input.value));
      return { description, subject: subject || null, html: html || null, text: text || null, bulk, sample: parse(data.input.value) };
    },
  };
}

function parse(text) {
  try {
    const data = JSON.parse(text.trim() || "{}");
    if (typeof data === "object" && data !== null && !Array.isArray(data)) return data;
  } catch (error) {
    throw Object.assign(new Error(`The data are no JSON: ${error.message}`), { title: "No preview" });
  }
  throw Object.assign(new Error("The data are an object: names and values."), { title: "No preview" });
}

/** How it looks, as the relay renders it, and what the lint says. */
function preview(path, whose, signal, request) {
  const subject = h("p", { class: "subject" });
  const stage = h("div", { class: "preview wide" });
  const findings = h("div", { "aria-live": "polite" });
  let made = null;
  let width = "wide";
  let looks = 0;

  const paint = () => {
    for (const one of switches) one.setAttribute("aria-pressed", String(one.dataset.width === width));
    stage.className = `preview ${width}`;
    if (!made) return;
    const isText = width === "text" || !made.page;
    // The answer's own policy lets it run no script and load nothing; the frame's does the same once more.
    put(stage, isText ? h("pre", { tabindex: "0" }, made.text ?? "It has no text.") : h("iframe", { sandbox: "", src: made.page, title: "How the message looks", referrerpolicy: "no-referrer" }));
  };
  const switches = Object.entries(WIDTHS).map(([key, label]) =>
    h("button", { type: "button", class: "button small", "data-width": key, "aria-pressed": String(key === width), onclick: () => ((width = key), paint()) }, label),
  );
  const element = h(
    "section",
    { class: "panel stack" },
    h("div", { class: "toolbar" }, h("h2", null, "Preview"), h("div", { class: "verbs", role: "group", "aria-label": "Width of the preview" }, switches)),
    subject,
    stage,
    h("p", { class: "muted small-text" }, "Nothing is loaded from elsewhere, and links lead nowhere."),
    findings,
  );

  return {
    element,
    async look(input) {
      looks += 1;
      const look = looks;
      try {
        const asked = request(parse(input.value));
        const [seen, lint] = await Promise.all([post(`${path}/preview`, { ...asked, page: true }, whose, signal), post(`${path}/lint`, asked, whose, signal)]);
        if (look !== looks) return;
        made = seen;
        put(subject, h("strong", null, made.subject ?? "No subject: a layout"));
        paint();
        put(findings, h("h2", null, "Findings"), told(lint.findings), reads(made.variables));
      } catch (error) {
        if (error.name === "AbortError" || look !== looks) return;
        put(findings, failure(error));
      }
    },
  };
}

function told(findings) {
  if (findings.length === 0) return h("p", null, chip("clean", "good"), " Nothing is wrong with it.");
  const line = ({ severity, rule, part, line: number, message }) =>
    h("li", null, chip(severity, TONES[severity]), " ", message, h("small", { class: "muted" }, ` ${[rule, part, number && `line ${number}`].filter(Boolean).join(", ")}`));
  return h("ul", { class: "lint" }, findings.map(line));
}

function reads(variables) {
  return variables.length > 0 && h("p", { class: "muted small-text" }, "It reads ", variables.map((one, index) => [index > 0 && ", ", h("code", null, one)]), ".");
}

async function save({ name, path, whose, newest }, form, there) {
  try {
    const saved = await send(path, form.read(), whose, { "if-match": `"${newest}"` });
    announce(`${name} is at version ${saved.version}.`);
    there(null);
  } catch (error) {
    announce(error.message, "bad");
  }
}

async function restore({ name, path, whose, view, newest }, there) {
  const restored = await ask({
    title: `Restore version ${view.version} of ${name}?`,
    text: `It becomes version ${newest + 1}; those before stay.`,
    verb: "Restore",
    act: () => send(path, view.template, whose, { "if-match": `"${newest}"` }),
  });
  if (!restored) return;
  announce(`${name} is at version ${restored.version}.`);
  there(null);
}

async function copy({ name, whose, view }, go) {
  const made = await ask({
    title: `Copy ${name}`,
    fields: [{ name: "name", label: "Name of the copy", required: true, value: name.startsWith("ready/") ? name.slice("ready/".length) : "", hint: "Lower case letters, digits, hyphens." }],
    verb: "Copy",
    act: (values) => send(at`/v1/templates/${values.name}`, view.template, whose, { "if-match": '"0"' }),
  });
  if (made) go(placeOf(made.name, whose.tenant));
}

async function testSend({ name, whose, view }, form) {
  const sent = await ask({
    title: `Send ${name} to somebody`,
    text: `Version ${view.version} as it is saved, with the data of the preview.`,
    fields: [
      { name: "from", label: "From", type: "email", required: true, placeholder: "shop@example.com" },
      { name: "to", label: "To", type: "email", required: true },
      { name: "stream", label: "Stream", hint: "By whose rules it is sent; empty is none." },
    ],
    verb: "Send",
    act: ({ from, to, stream }) =>
      post("/v1/messages", {
        from,
        to: [to],
        template: name,
        data: parse(form.data.input.value),
        tags: ["test"],
        ...(name.startsWith("ready/") ? {} : { template_version: view.version }),
        ...(stream ? { stream } : {}),
        ...(whose.tenant ? { tenant: whose.tenant } : {}),
      }),
  });
  if (sent) announce(`It is in the queue as ${sent.id}.`);
}

async function drop({ name, path, whose }, go) {
  const gone = await ask({ title: `Remove ${name}?`, text: "All its versions are forgotten, and messages that name it are refused.", verb: "Remove", danger: true, act: () => remove(path, whose) });
  if (!gone) return;
  announce(`${name} is removed.`);
  go(`/templates${whose.tenant ? `?${new URLSearchParams({ tenant: whose.tenant })}` : ""}`);
}
