// Begins: finds out who is there, and shows the page that the address names.

import { begin, who } from "./api.js";
import { failure, h, put } from "./dom.js";
import { dress, frame, mark } from "./frame.js";
import { showLogIn } from "./pages/login.js";
import * as access from "./pages/access.js";
import * as account from "./pages/account.js";
import * as audit from "./pages/audit.js";
import * as bounces from "./pages/bounces.js";
import * as domain from "./pages/domain.js";
import * as domains from "./pages/domains.js";
import * as message from "./pages/message.js";
import * as messages from "./pages/messages.js";
import * as overview from "./pages/overview.js";
import * as plugins from "./pages/plugins.js";
import * as queue from "./pages/queue.js";
import * as shaping from "./pages/shaping.js";
import * as sites from "./pages/sites.js";
import * as streams from "./pages/streams.js";
import * as suppression from "./pages/suppression.js";
import * as template from "./pages/template.js";
import * as templates from "./pages/templates.js";
import * as webhooks from "./pages/webhooks.js";

/** The pages by their path; a part with a colon is any. */
const PAGES = [
  ["/", overview],
  ["/messages", messages],
  ["/messages/:id", message],
  ["/queue", queue],
  ["/sites", sites],
  ["/bounces", bounces],
  ["/streams", streams],
  ["/suppression", suppression],
  ["/templates", templates],
  ["/templates/:template", template],
  ["/domains", domains],
  ["/domains/:domain", domain],
  ["/webhooks", webhooks],
  ["/plugins", plugins],
  ["/shaping", shaping],
  ["/audit", audit],
  ["/access", access],
  ["/account", account],
];

let main = null;
let leaving = new AbortController();

dress();
window.addEventListener("popstate", () => show());
window.addEventListener("session-over", () => enter("The session is over."));
document.addEventListener("click", follow);
start();

async function start() {
  try {
    await begin();
  } catch (error) {
    put(document.body, h("main", { class: "alone" }, failure(error)));
    return;
  }
  if (who()) arrive();
  else enter();
}

/** Shows the log-in in the place of everything. */
function enter(why) {
  leaving.abort();
  for (const dialog of document.querySelectorAll("dialog")) dialog.remove();
  showLogIn(why, arrive);
}

function arrive() {
  main = frame(go);
  show();
}

/** Goes to another page of the console, as a link does. */
function go(path) {
  history.pushState(null, "", "/console" + path);
  show();
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !url.pathname.startsWith("/console") || link.hasAttribute("download") || link.target) return;
  event.preventDefault();
  go(url.pathname.slice("/console".length) + url.search);
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const path = location.pathname.replace(/^\/console/, "").replace(/\/$/, "") || "/";
  mark(path);
  const [page, parts] = find(path);
  const query = new URLSearchParams(location.search);
  const verbs = h("div", { class: "verbs" });
  const context = { parts, query, signal, go, keep: keepQuery, verbs: (...buttons) => put(verbs, buttons) };
  const heading = h("h1", null, page ? page.name(context) : "No such page");
  const content = h("div", { class: "page" });
  put(main, h("div", { class: "head" }, heading, verbs), content);
  document.title = `${heading.textContent} · Baton`;
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  if (!page) {
    put(content, h("p", null, "The navigation has all pages."));
    return;
  }
  try {
    await page.show(content, context);
  } catch (error) {
    if (error.name !== "AbortError") content.append(failure(error));
  }
}

function find(path) {
  const given = path.split("/").filter(Boolean);
  for (const [pattern, page] of PAGES) {
    const wanted = pattern.split("/").filter(Boolean);
    if (wanted.length !== given.length) continue;
    const parts = {};
    const fits = wanted.every((part, index) => {
      if (!part.startsWith(":")) return part === given[index];
      parts[part.slice(1)] = decodeURIComponent(given[index]);
      return true;
    });
    if (fits) return [page, parts];
  }
  return [null, {}];
}

/** Keeps what a form says in the address, so that it can be sent to others and found by going back. */
function keepQuery(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
}
