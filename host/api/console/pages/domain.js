// What the DNS says about one domain, and what is to be published.

import { at, get } from "../api.js";
import { announce, failure, h, put } from "../dom.js";
import { chip } from "../words.js";

export const name = ({ parts }) => parts.domain;

const TONES = { right: "good", missing: "bad", wrong: "bad", unknown: "warn" };

export async function show(content, { parts, signal, verbs }) {
  const found = h("div", { "aria-live": "polite" });
  const check = async () => {
    put(found, h("p", { class: "muted" }, "Asking the DNS …"));
    try {
      put(found, findings(await get(at`/v1/domains/${parts.domain}`, null, signal)));
    } catch (error) {
      if (error.name !== "AbortError") put(found, failure(error));
    }
  };
  verbs(h("button", { type: "button", class: "button", onclick: check }, "Check again"));
  put(content, found);
  await check();
}

function findings({ is_ready: isReady, findings: all }) {
  return [
    h("p", null, isReady ? chip("ready", "good") : chip("not ready", "bad"), isReady ? " Everything is there that mail needs." : " Mail suffers from what is missing."),
    h("ul", { class: "findings" }, all.map(finding)),
  ];
}

function finding({ what, state, required, detail, publish }) {
  const tone = state !== "right" && !required ? "warn" : TONES[state];
  return h(
    "li",
    { class: "panel" },
    h("h2", null, chip(state, tone), " ", what, !required && h("small", { class: "muted" }, " advice")),
    h("p", null, detail),
    publish &&
      h(
        "dl",
        { class: "facts record" },
        h("dt", null, "Name"),
        h("dd", null, h("code", null, publish.name)),
        h("dt", null, publish.kind),
        h("dd", null, h("code", null, publish.data), " ", copy(publish.data)),
      ),
  );
}

function copy(text) {
  if (!navigator.clipboard) return null;
  const take = () => navigator.clipboard.writeText(text).then(
    () => announce("Copied."),
    () => announce("It could not be copied.", "bad"),
  );
  return h("button", { type: "button", class: "button small", onclick: take }, "Copy");
}
