// Plays one case in a browser: `node drive.mjs CASE BASE`, with what the case needs to know as JSON on the standard input.
// It fails with what was not so, and with whatever a page complained about.

import { readFileSync } from "node:fs";

import { barriers, logIn, must, open, reach, settle, visit } from "./browser.mjs";

/** Every page of the navigation, with something that is there once it is loaded. */
const PAGES = {
  Overview: "Why mail waits",
  Messages: "Search",
  Queue: "Show",
  Sites: "In use",
  Bounces: "By reason",
  Streams: "New stream",
  Suppression: "Look up",
  Domains: "Domain",
  Webhooks: "New webhook",
  Plugins: "Who is asked, in order",
  Shaping: "What holds now",
  Audit: "session.open",
  Access: "New operator",
};

const CASES = {
  async login({ page, context, complaints }, { name, password }) {
    await logIn(page, name, "not the password");
    await page.getByRole("alert").waitFor();
    must((await page.getByRole("alert").innerText()).includes("wrong"), "it is said that the password is wrong");
    // The browser itself notes every answer that is an error.
    complaints.splice(0);
    await page.getByLabel("Password").fill(password);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    const [cookie] = (await context.cookies()).filter((one) => one.name.includes("baton"));
    must(cookie.httpOnly && cookie.sameSite === "Strict" && cookie.expires > 0, `the cookie is kept from scripts: ${JSON.stringify(cookie)}`);
    must((await page.evaluate(() => document.cookie)) === "", "no script sees it");
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await reach(page, page.getByRole("button", { name: "Log out" }));
    await page.keyboard.press("Enter");
    await page.getByLabel("Name").waitFor();
    await context.addCookies([cookie]);
    await page.goto("/console/queue");
    await page.getByLabel("Name").waitFor();
  },

  async pages({ page }, { name, password, theme }) {
    await page.emulateMedia({ colorScheme: theme });
    await page.goto("/console/");
    await page.getByLabel("Name").waitFor();
    must((await barriers(page)).length === 0, `nobody is shut out of the log-in: ${await barriers(page)}`);
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    const links = await page.getByRole("navigation").getByRole("link").allInnerTexts();
    must(JSON.stringify(links) === JSON.stringify(Object.keys(PAGES)), `the navigation is known: ${links}`);
    for (const [title, sign] of Object.entries(PAGES)) {
      await visit(page, title);
      await page.locator("#main").getByText(sign).first().waitFor();
      must((await page.title()) === `${title} · Baton`, `the title says ${title}`);
      const current = await page.locator("nav [aria-current=page]").innerText();
      must(current === title, `${title} is marked as the current page`);
      must((await page.getByRole("alert").count()) === 0, `${title}: ${await page.locator("#main").innerText()}`);
      const found = await barriers(page);
      must(found.length === 0, `nobody is shut out of ${title}: ${found.join("\n")}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      must(wide <= 0, `${title} fits the window`);
    }
  },

  async narrow({ page }, { name, password }) {
    await page.setViewportSize({ width: 390, height: 844 });
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    for (const title of Object.keys(PAGES)) {
      await reach(page, page.getByRole("button", { name: "Menu" }), "Shift+Tab");
      await page.keyboard.press("Enter");
      await reach(page, page.getByRole("navigation").getByRole("link", { name: title, exact: true }));
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { level: 1, name: title }).waitFor();
      await settle(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      must(wide <= 0, `${title} fits a narrow window`);
      const found = await barriers(page);
      must(found.length === 0, `nobody is shut out of ${title}: ${found.join("\n")}`);
    }
  },

  async viewer({ page, complaints }, { name, password }) {
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    const links = await page.getByRole("navigation").getByRole("link").allInnerTexts();
    must(!links.includes("Access") && !links.includes("Audit"), `a viewer is not offered what it may not: ${links}`);
    await visit(page, "Queue");
    await page.locator("#main").getByRole("table").waitFor();
    for (const verb of ["Hold", "Remove", "Return to sender", "Retry now"]) {
      must((await page.getByRole("button", { name: verb }).count()) === 0, `a viewer sees no ${verb}`);
    }
    const statuses = await page.evaluate(async () => {
      const session = await (await fetch("/v1/session")).json();
      const change = (method, path) =>
        fetch(path, { method, body: '{"all":true}', headers: { "content-type": "application/json", "x-csrf-token": session.csrf } });
      const asked = [change("POST", "/v1/queue/hold"), change("POST", "/v1/queue/remove"), change("POST", "/v1/reload"), change("POST", "/v1/suppressions"), fetch("/v1/operators"), fetch("/v1/audit"), fetch("/v1/tokens")];
      return (await Promise.all(asked)).map(({ status }) => status);
    });
    must(statuses.every((status) => status === 403), `the API refuses a viewer: ${statuses}`);
    complaints.splice(0);
  },

  async queue({ page }, { name, password, message }) {
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await visit(page, "Queue");
    const row = page.getByRole("checkbox", { name: `Choose ${message}` });
    await reach(page, row);
    await page.keyboard.press("Space");
    await reach(page, page.getByRole("button", { name: "Hold", exact: true }), "Shift+Tab");
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    await reach(page, dialog.getByRole("button", { name: "Hold", exact: true }));
    await page.keyboard.press("Enter");
    await page.getByRole("row").filter({ hasText: message.split(".")[0] }).getByText("held", { exact: true }).waitFor();
  },

  async story({ page }, { name, password, message, reply }) {
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await reach(page, page.getByRole("searchbox", { name: "Find messages" }), "Shift+Tab");
    await page.keyboard.type(message);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: message }).waitFor();
    const story = page.getByRole("list").filter({ hasText: "accepted" }).first();
    await story.waitFor();
    const text = await page.locator(".steps").innerText();
    for (const part of ["accepted", "from <ada@sender.example> for bo@dest.example", "delivered", reply]) {
      must(text.includes(part), `the story tells of ${part}: ${text}`);
    }
    must((await page.locator("#main").innerText()).includes("Nothing of it is in the queue any more."), "nothing is to come");
    await page.keyboard.press("Shift+Tab");
    await visit(page, "Messages");
    await page.locator("#main").getByRole("link", { name: message }).waitFor();
  },

  async suppress({ page }, { name, password, address }) {
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await visit(page, "Suppression");
    await reach(page, page.getByRole("button", { name: "Add", exact: true }));
    await page.keyboard.press("Enter");
    // The address has the focus.
    await page.getByRole("dialog").waitFor();
    await page.keyboard.type(address);
    await page.keyboard.press("Enter");
    await page.locator("#main table").getByText(address).waitFor();
    await reach(page, page.getByLabel("Is mail to this address stopped?"));
    await page.keyboard.type(address);
    await page.keyboard.press("Enter");
    await page.getByText(`Mail to ${address} is stopped for everybody.`).waitFor();
  },

  async secrets({ page }, { name, password }) {
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await visit(page, "Access");
    await page.getByRole("button", { name: "New token" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Make" }).click();
    const secret = page.locator(".secret");
    await secret.waitFor();
    const token = await secret.innerText();
    must(token.startsWith("bt_"), "the token is shown once");
    await reach(page, page.getByRole("dialog").getByRole("button", { name: "Done" }));
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await settle(page);
    must(!(await page.content()).includes(token), "and not again");
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "Access" }).waitFor();
    await settle(page);
    must(!(await page.content()).includes(token), "never again");
  },
};

const [, , name, base] = process.argv;
const session = await open(base);
try {
  await CASES[name](session, JSON.parse(readFileSync(0, "utf8") || "{}"));
  must(session.complaints.length === 0, `the pages complain of nothing: ${session.complaints.join("\n")}`);
} catch (error) {
  console.error(error.message);
  console.error(session.complaints.join("\n"));
  console.error(await session.page.locator("body").innerText().catch(() => ""));
  process.exitCode = 1;
} finally {
  await session.browser.close();
}
