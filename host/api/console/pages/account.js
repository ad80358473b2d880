// Who one is, and what one may change of that.

import { changePassword, logOutEverywhere, who } from "../api.js";
import { ask, field } from "../dialog.js";
import { announce, failure, h, put } from "../dom.js";
import { chip, time } from "../words.js";

export const name = () => "Account";

export async function show(content) {
  const me = who();
  const facts = [
    ["Operator", me.name],
    ["Role", chip(me.role, me.role === "admin" ? "hold" : "plain")],
    ["Sees", me.tenant ? `tenant ${me.tenant}` : "the whole relay"],
    ["May", me.scopes.join(", ")],
    ["This session ends", time(me.ends_at)],
  ];
  put(
    content,
    h("section", { class: "panel" }, h("dl", { class: "facts" }, facts.map(([what, value]) => [h("dt", null, what), h("dd", null, value)]))),
    h("section", { class: "panel" }, h("h2", null, "Password"), password()),
    h(
      "section",
      { class: "panel stack" },
      h("h2", null, "Sessions"),
      h("p", null, "Ends all your sessions, on every machine, and this one too."),
      h("div", { class: "verbs" }, h("button", { type: "button", class: "button", onclick: leave }, "Log out everywhere")),
    ),
  );
}

function password() {
  const old = field({ name: "old", label: "Current password", type: "password", required: true, autocomplete: "current-password" });
  const fresh = field({ name: "new", label: "New password", type: "password", required: true, autocomplete: "new-password", hint: "12 characters or more." });
  const again = field({ name: "again", label: "New password again", type: "password", required: true, autocomplete: "new-password" });
  const trouble = h("div", null);
  const button = h("button", { type: "submit", class: "button primary" }, "Change the password");
  const submit = async (event) => {
    event.preventDefault();
    put(trouble);
    button.disabled = true;
    try {
      if (fresh.input.value !== again.input.value) throw Object.assign(new Error("The new password is not the same both times."), { title: "Nothing was changed" });
      await changePassword(old.input.value, fresh.input.value);
      for (const { input } of [old, fresh, again]) input.value = "";
      announce("The password is changed; your other sessions are over.");
    } catch (error) {
      put(trouble, failure(error));
    }
    button.disabled = false;
  };
  return h("form", { class: "stack small-form", onsubmit: submit }, old.element, fresh.element, again.element, trouble, h("div", { class: "verbs" }, button));
}

async function leave() {
  const left = await ask({ title: "Log out everywhere?", verb: "Log out everywhere", act: async () => (await logOutEverywhere(), true) });
  if (left) location.assign("/console/");
}
