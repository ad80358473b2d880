// The frame around all pages: where one can go, who one is, how it looks.

import { logOut, may, seesAll, who } from "./api.js";
import { announce, h, link, put, svg } from "./dom.js";

/** Every page that has a place in the navigation: path, name, and who has it, where that is not everybody. */
const PLACES = [
  ["Mail", [["/", "Overview"], ["/messages", "Messages"], ["/queue", "Queue", seesAll], ["/sites", "Sites", seesAll], ["/bounces", "Bounces"]]],
  ["Senders", [["/streams", "Streams"], ["/suppression", "Suppression", () => may("suppress")], ["/templates", "Templates", () => may("templates")], ["/domains", "Domains"], ["/webhooks", "Webhooks", () => may("webhooks")]]],
  ["Relay", [["/plugins", "Plugins", seesAll], ["/shaping", "Shaping", seesAll], ["/audit", "Audit", () => may("admin")], ["/access", "Access", () => may("admin")]]],
  ["You", [["/account", "Account"]]],
];

const THEMES = { auto: "System", light: "Light", dark: "Dark" };

/** Applies the theme that was chosen before. */
export function dress() {
  const theme = stored();
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function stored() {
  try {
    const theme = localStorage.getItem("theme");
    return theme in THEMES ? theme : "auto";
  } catch {
    return "auto";
  }
}

function keep(theme) {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Where nothing can be kept, it holds until the page is left.
  }
  document.documentElement.dataset.theme = theme;
  if (theme === "auto") delete document.documentElement.dataset.theme;
}

export function themePicker() {
  const pick = (event) => keep(event.target.value);
  return h(
    "select",
    { class: "theme", "aria-label": "Colours", onchange: pick },
    Object.entries(THEMES).map(([key, name]) => h("option", { value: key, selected: key === stored() }, name)),
  );
}

export function brand() {
  return h(
    "span",
    { class: "brand" },
    svg(
      "svg",
      { viewBox: "0 0 32 32", width: 22, height: 22, "aria-hidden": "true" },
      svg("rect", { width: 32, height: 32, rx: 7, class: "brand-ground" }),
      svg("path", { d: "M7.5 24.5 22 10", class: "brand-stick" }),
      svg("circle", { cx: 23.6, cy: 8.4, r: 3.4, class: "brand-tip" }),
    ),
    "Baton",
  );
}

/** The frame; returns where a page goes. */
export function frame(go) {
  const main = h("main", { id: "main", tabindex: "-1" });
  const find = h("input", {
    type: "search",
    name: "find",
    placeholder: "Message id, address or domain",
    "aria-label": "Find messages",
    autocomplete: "off",
    spellcheck: "false",
  });
  const seek = h(
    "form",
    {
      class: "seek",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        const text = find.value.trim();
        if (text !== "") go(where(text));
      },
    },
    find,
  );
  const menu = h("button", { type: "button", class: "button small menu", "aria-expanded": "false", "aria-controls": "places" }, "Menu");
  const side = h("nav", { id: "places", "aria-label": "Pages" }, places());
  menu.addEventListener("click", () => open(menu.getAttribute("aria-expanded") !== "true"));
  const open = (isOpen) => {
    menu.setAttribute("aria-expanded", String(isOpen));
    side.classList.toggle("open", isOpen);
  };
  side.addEventListener("click", () => open(false));
  const leave = async () => {
    await logOut().catch((error) => announce(error.message, "bad"));
    location.assign("/console/");
  };
  const me = who();
  const top = h(
    "header",
    { class: "top" },
    menu,
    link("/", brand()),
    seek,
    h(
      "div",
      { class: "me" },
      themePicker(),
      h("span", { class: "name", title: me.tenant ? `sees tenant ${me.tenant}` : "sees all of the relay" }, me.name, h("small", null, me.tenant ? `${me.role}, ${me.tenant}` : me.role)),
      h("button", { type: "button", class: "button small", onclick: leave }, "Log out"),
    ),
  );
  put(
    document.body,
    h("a", { class: "skip", href: "#main", onclick: (event) => (event.preventDefault(), main.focus()) }, "Skip to the page"),
    top,
    h("div", { class: "body" }, side, main),
    h("div", { id: "announcements", role: "status" }),
  );
  return main;
}

/** Where a search leads: an id to its message, all else to the list. */
export function where(text) {
  if (/^[0-9A-Za-z]{20,40}$/.test(text)) return `/messages/${text}`;
  const field = text.includes("@") ? "recipient" : "domain";
  return `/messages?${new URLSearchParams({ [field]: text.replace(/^@/, "") })}`;
}

function places() {
  const groups = PLACES.map(([title, pages]) => [title, pages.filter(([, , isFor]) => !isFor || isFor())]);
  return groups
    .filter(([, pages]) => pages.length > 0)
    .map(([title, pages]) => [
      h("h2", null, title),
      h("ul", null, pages.map(([path, name]) => h("li", null, link(path, name)))),
    ]);
}

/** Marks where one is. */
export function mark(path) {
  for (const one of document.querySelectorAll("#places a")) {
    const own = one.getAttribute("href").slice("/console".length);
    const isHere = own === "/" ? path === "/" : path === own || path.startsWith(own + "/");
    if (isHere) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
}
