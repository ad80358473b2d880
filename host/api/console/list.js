// Lists in pages: so many rows at most are ever in the document.

import { failure, h, put } from "./dom.js";

/**
 * A table in pages.
 *   columns  [{head, cell(row), class}]
 *   load     (after) => {rows, next}
 *   empty    what is said when there is nothing, or a function that gives it
 *   pick     when rows can be chosen: (row) => its name
 */
export function pages({ caption, columns, load, empty, pick, onPick }) {
  const body = h("tbody", null);
  const said = h("p", { class: "list-said", role: "status" });
  const trouble = h("div", null);
  const back = h("button", { type: "button", class: "button small", onclick: () => turn(-1) }, "Back");
  const forth = h("button", { type: "button", class: "button small", onclick: () => turn(1) }, "Next");
  const chosen = new Map();
  const all = pick && h("input", { type: "checkbox", "aria-label": "Choose all rows of this page", onchange: () => chooseAll() });
  const heads = columns.map(({ head, class: name }) => h("th", { scope: "col", class: name }, head));
  const table = h(
    "table",
    null,
    h("caption", { class: "hidden" }, caption),
    h("thead", null, h("tr", null, pick && h("th", { class: "pick" }, all), heads)),
    body,
  );
  const frame = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table);
  const element = h("div", { class: "list" }, trouble, frame, h("div", { class: "list-foot" }, said, h("div", { class: "verbs" }, back, forth)));
  let cursors = [null];
  let next = null;
  let turns = 0;

  const row = (one) => {
    const box =
      pick &&
      h("input", {
        type: "checkbox",
        "aria-label": `Choose ${pick(one)}`,
        onchange: (event) => {
          event.target.checked ? chosen.set(pick(one), one) : chosen.delete(pick(one));
          onPick?.([...chosen.values()]);
        },
      });
    const cells = columns.map(({ cell, class: name, head }, index) => {
      const properties = { class: name, "data-head": head };
      return index === 0 ? h("th", { ...properties, scope: "row" }, cell(one)) : h("td", properties, cell(one));
    });
    return h("tr", null, pick && h("td", { class: "pick" }, box), cells);
  };

  const chooseAll = () => {
    for (const box of body.querySelectorAll("td.pick input")) {
      if (box.checked !== all.checked) box.click();
    }
  };

  const show = async () => {
    turns += 1;
    const turn = turns;
    element.setAttribute("aria-busy", "true");
    try {
      const page = await load(cursors[cursors.length - 1]);
      if (turn !== turns) return;
      next = page.next ?? null;
      chosen.clear();
      onPick?.([]);
      if (all) all.checked = false;
      put(trouble);
      put(body, page.rows.map(row));
      const begin = page.rows.length === 0 && cursors.length === 1;
      frame.hidden = begin;
      put(said, begin ? (empty instanceof Function ? empty() : empty) : counted(page.rows.length));
    } catch (error) {
      if (error.name === "AbortError" || turn !== turns) return;
      frame.hidden = true;
      put(trouble, failure(error));
      put(said);
    } finally {
      if (turn === turns) {
        element.removeAttribute("aria-busy");
        back.hidden = cursors.length === 1;
        forth.hidden = next === null;
      }
    }
  };

  const counted = (number) => {
    const rows = `${number} ${number === 1 ? "row" : "rows"}`;
    return cursors.length === 1 && next === null ? rows : `Page ${cursors.length}, ${rows}`;
  };

  const turn = (way) => {
    if (way < 0) cursors.pop();
    else cursors.push(next);
    return show();
  };

  return {
    element,
    /** From the first page on. */
    reload() {
      cursors = [null];
      return show();
    },
    /** The same page again. */
    refresh: show,
  };
}

/** A small table of what is at hand. */
export function table({ caption, columns, rows, empty }) {
  if (rows.length === 0) return h("p", { class: "muted" }, empty);
  const heads = columns.map(({ head, class: name }) => h("th", { scope: "col", class: name }, head));
  const line = (one) =>
    h(
      "tr",
      null,
      columns.map(({ cell, class: name, head }, index) => {
        const properties = { class: name, "data-head": head };
        return index === 0 ? h("th", { ...properties, scope: "row" }, cell(one)) : h("td", properties, cell(one));
      }),
    );
  const all = h("table", null, h("caption", { class: "hidden" }, caption), h("thead", null, h("tr", null, heads)), h("tbody", null, rows.map(line)));
  return h("div", { class: "list" }, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, all));
}
