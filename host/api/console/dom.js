// Elements, made by calls: text is always text, and nothing is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("p", {class: "note", onclick: f}, "text", child)`. What is null, undefined or false is left out. */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same of SVG. */
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter(isThere));
  return element;
}

function isThere(child) {
  return child !== null && child !== undefined && child !== false;
}

/** Puts these in the place of what an element has. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(isThere));
  return element;
}

/** A link to another page of the console. */
export function link(path, ...children) {
  return h("a", { href: "/console" + path }, ...children);
}

let ids = 0;

/** A name that no other element has. */
export function fresh(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** Says something to those who hear the page, and to those who see it for a while. */
export function announce(text, kind = "note") {
  const place = document.getElementById("announcements");
  if (!place) return;
  const line = h("p", { class: `toast ${kind}` }, text);
  place.append(line);
  setTimeout(() => line.remove(), 8000);
}

/** What a failure is shown as. */
export function failure(error) {
  const fields = (error.errors ?? []).map((one) => h("li", null, h("code", null, one.field), " ", one.message));
  return h(
    "div",
    { class: "failure", role: "alert" },
    h("strong", null, error.title ?? "It did not work"),
    h("p", null, error.detail ?? error.message),
    fields.length > 1 && h("ul", null, fields),
  );
}
