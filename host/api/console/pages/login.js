// Who are you?

import { logIn } from "../api.js";
import { field } from "../dialog.js";
import { failure, h, put } from "../dom.js";
import { brand, themePicker } from "../frame.js";

/** Shows the log-in; `done` is called when somebody is in. */
export function showLogIn(why, done) {
  document.title = "Log in · Baton";
  const name = field({ name: "name", label: "Name", required: true, autocomplete: "username" });
  const password = field({ name: "password", label: "Password", type: "password", required: true, autocomplete: "current-password" });
  const trouble = h("div", null, why && h("p", { class: "failure", role: "alert" }, why));
  const button = h("button", { type: "submit", class: "button primary wide" }, "Log in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    put(trouble);
    try {
      await logIn(name.read(), password.input.value);
      done();
    } catch (error) {
      button.disabled = false;
      put(trouble, failure(error));
      password.input.value = "";
      password.input.focus();
    }
  };
  put(
    document.body,
    h(
      "main",
      { class: "alone" },
      h(
        "form",
        { class: "panel login", onsubmit: submit },
        h("h1", null, brand(), h("span", { class: "hidden" }, ": log in")),
        name.element,
        password.element,
        trouble,
        button,
        h("p", { class: "muted small-text" }, "Operators are made by ", h("code", null, "baton operator add"), "."),
      ),
      themePicker(),
    ),
  );
  name.input.focus();
}
