// Questions before something is done.

import { failure, fresh, h, put } from "./dom.js";

/**
 * Asks, and does it: `act(values)` is called with the fields, and the dialog stays while it fails. Resolves to what `act`
 * returned, or to undefined when somebody thought better of it.
 */
export function ask({ title, text, fields = [], verb, danger = false, act }) {
  return new Promise((resolve) => {
    const heading = fresh("question");
    const inputs = fields.map(field);
    const trouble = h("div", null);
    const doIt = h("button", { type: "submit", class: danger ? "button danger" : "button primary" }, verb);
    const close = (result) => {
      dialog.close();
      dialog.remove();
      resolve(result);
    };
    const submit = async (event) => {
      event.preventDefault();
      doIt.disabled = true;
      put(trouble);
      try {
        close(await act(Object.fromEntries(inputs.map(({ name, read }) => [name, read()]))));
      } catch (error) {
        doIt.disabled = false;
        put(trouble, failure(error));
      }
    };
    const form = h(
      "form",
      { onsubmit: submit },
      h("h2", { id: heading }, title),
      text && h("p", null, text),
      inputs.map(({ element }) => element),
      trouble,
      h(
        "div",
        { class: "verbs end" },
        h("button", { type: "button", class: "button", onclick: () => close() }, "Cancel"),
        doIt,
      ),
    );
    const dialog = h("dialog", { "aria-labelledby": heading, oncancel: () => close() }, form);
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("input, select, textarea") ?? doIt).focus();
  });
}

/** Shows something once, such as a secret. */
export function tell({ title, text, secret }) {
  return new Promise((resolve) => {
    const heading = fresh("told");
    const done = () => {
      dialog.close();
      dialog.remove();
      resolve();
    };
    const dialog = h(
      "dialog",
      { "aria-labelledby": heading, oncancel: done },
      h("h2", { id: heading }, title),
      h("p", null, text),
      secret && h("pre", { class: "secret", tabindex: "0" }, secret),
      h("div", { class: "verbs end" }, h("button", { type: "button", class: "button primary", onclick: done }, "Done")),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** One field: `{name, label, type, value, options, required, hint, placeholder, rows, readonly, disabled}`; its value is a text, or true or false. */
export function field({ name, label, type = "text", value = "", options, required, hint, placeholder, autocomplete, rows = 6, readonly, disabled }) {
  const id = fresh("field");
  const about = hint && fresh("hint");
  const common = { id, name, required, readonly, disabled, "aria-describedby": about };
  let input;
  if (options) {
    const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
    input = h(
      "select",
      common,
      pairs.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
    );
  } else if (type === "textarea") {
    input = h("textarea", { ...common, rows, placeholder, spellcheck: "false" });
    input.value = value;
  } else if (type === "checkbox") {
    input = h("input", { ...common, type, checked: value === true });
    const element = h("p", { class: "field check" }, input, h("label", { for: id }, label), hint && h("small", { id: about }, hint));
    return { name, element, input, read: () => input.checked };
  } else {
    input = h("input", { ...common, type, value, placeholder, autocomplete: autocomplete ?? "off", spellcheck: "false" });
  }
  const element = h("p", { class: "field" }, h("label", { for: id }, label), input, hint && h("small", { id: about }, hint));
  return { name, element, input, read: () => input.value.trim() };
}
