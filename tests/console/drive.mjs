// Plays one case in a browser: `node drive.mjs CASE BASE`, with what the case needs to know as JSON on the standard input.
// It fails with what was not so, and with whatever a page complained about.

import { readFileSync } from "node:fs";

import { barriers, logIn, must, open, reach, settle, visit } from "./browser.mjs";

/** Every page of the navigation: its file, and something that is there once it is loaded. */
const PAGES = {
  Overview: ["overview.js", "Why mail waits"],
  Messages: ["messages.js", "Search"],
  Queue: ["queue.js", "Show"],
  Sites: ["sites.js", "In use"],
  Bounces: ["bounces.js", "By reason"],
  Streams: ["streams.js", "New stream"],
  Suppression: ["suppression.js", "Look up"],
  Templates: ["templates.js", "ready/receipt"],
  Domains: ["domains.js", "Domain"],
  Webhooks: ["webhooks.js", "Others who follow what happens"],
  Plugins: ["plugins.js", "Who is asked, in order"],
  Shaping: ["shaping.js", "As a table"],
  Audit: ["audit.js", "session.open"],
  Access: ["access.js", "New operator"],
  Account: ["account.js", "Log out everywhere"],
};

/** Those behind them: file, address, heading, and a sign. */
const DEEPER = [
  ["message.js", ({ message }) => `/messages/${message}`, ({ message }) => message, "What comes next"],
  ["template.js", () => "/templates/ready%2Freceipt", () => "ready/receipt", "It reads"],
  ["template.js", () => "/templates/hello?version=1", () => "hello", "Restore version 1"],
  ["domain.js", () => "/domains/acme.example", () => "acme.example", "Mail suffers"],
];

/** What holds for every page, in every form. */
async function inspect(page, title) {
  must((await page.getByRole("alert").count()) === 0, `${title}: ${await page.locator("body").innerText()}`);
  const found = await barriers(page);
  must(found.length === 0, `nobody is shut out of ${title}: ${found.join("\n")}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  must(wide <= 0, `${title} fits the window`);
}

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

  async pages({ page }, known) {
    const { name, password, theme, width, files } = known;
    const isNarrow = width < 760;
    await page.emulateMedia({ colorScheme: theme });
    await page.setViewportSize({ width, height: 900 });
    await page.goto("/console/");
    await page.getByLabel("Name").waitFor();
    await inspect(page, "the log-in");
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    const links = await page.locator("nav a").evaluateAll((all) => all.map((one) => one.textContent));
    must(JSON.stringify(links) === JSON.stringify(Object.keys(PAGES)), `the navigation is known: ${links}`);
    for (const [title, [, sign]] of Object.entries(PAGES)) {
      if (isNarrow) {
        await reach(page, page.getByRole("button", { name: "Menu" }), "Shift+Tab");
        await page.keyboard.press("Enter");
        await reach(page, page.getByRole("navigation").getByRole("link", { name: title, exact: true }));
        await page.keyboard.press("Enter");
        await page.getByRole("heading", { level: 1, name: title }).waitFor();
        await settle(page);
      } else {
        await visit(page, title);
        must((await page.locator("nav [aria-current=page]").innerText()) === title, `${title} is marked as the current page`);
      }
      await page.locator("#main").getByText(sign).first().waitFor();
      must((await page.title()) === `${title} · Baton`, `the title says ${title}`);
      await inspect(page, title);
    }
    for (const [, address, heading, sign] of DEEPER) {
      await page.goto(`/console${address(known)}`);
      await page.getByRole("heading", { level: 1, name: heading(known) }).waitFor();
      await page.locator("#main").getByText(sign).first().waitFor();
      await settle(page);
      await inspect(page, heading(known));
    }
    const seen = new Set(["login.js", ...Object.values(PAGES).map(([file]) => file), ...DEEPER.map(([file]) => file)]);
    must(files.every((file) => seen.has(file)), `every page is looked at: ${files.filter((file) => !seen.has(file))}`);
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

  async templates({ page, complaints }, { name, password, elsewhere }) {
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await visit(page, "Templates");
    await page.getByRole("button", { name: "New template" }).click();
    await page.getByRole("dialog").waitFor();
    await page.keyboard.type("evil");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "evil" }).waitFor();
    const frame = page.frameLocator("iframe");
    await frame.getByText("Hello Ann,").waitFor();
    // A template that tries to get out: nothing of it runs, and nothing is loaded.
    const answered = [];
    page.on("response", (response) => answered.push(response.url()));
    const hostile = `<h1>Hi {{ name }}</h1>
<script>top.document.title = "owned"; parent.postMessage("owned", "*"); document.body.textContent = "owned"</script>
<img src="${elsewhere}/img" onerror="parent.document.title='owned'"><svg onload="top.location='${elsewhere}/svg'"></svg>
<link rel="stylesheet" href="${elsewhere}/css"><style>@import "${elsewhere}/import"; h1 { color: red; background: url(${elsewhere}/bg) }</style>
<meta http-equiv="refresh" content="0;url=${elsewhere}/refresh"><base href="${elsewhere}/"><iframe src="${elsewhere}/frame"></iframe>
<form action="${elsewhere}/form"><input name="x"><button>Send</button></form><a href="${elsewhere}/link">away</a><a href="/console/" target="_top">home</a>`;
    await page.getByLabel("HTML", { exact: true }).fill(hostile);
    await page.getByLabel("Data for the preview (JSON)").fill('{"name": "<b>Zoe</b>"}');
    const heading = frame.getByRole("heading", { name: "Hi <b>Zoe</b>" });
    await heading.waitFor();
    must((await heading.evaluate((one) => getComputedStyle(one).color)) === "rgb(255, 0, 0)", "its own styles are applied");
    await frame.getByRole("button", { name: "Send" }).click();
    await frame.getByRole("link", { name: "away" }).click();
    await page.waitForTimeout(500);
    must(answered.every((url) => !url.startsWith(elsewhere)), `nothing is loaded from elsewhere: ${answered}`);
    must((await page.title()) === "evil · Baton", "the console is as it was");
    must(complaints.length > 0, "the browser says what it did not do");
    complaints.splice(0);
    await page.getByText("It reads name.").waitFor();
    // Wide and narrow.
    await page.getByRole("button", { name: "Narrow" }).click();
    const box = await page.locator(".preview iframe").boundingBox();
    must(box.width <= 390, `the narrow preview is narrow: ${box.width}`);
    await page.getByRole("button", { name: "Text", exact: true }).click();
    await page.locator(".preview pre").getByText("<b>Zoe</b>").waitFor();
    // Versions.
    await page.getByRole("button", { name: "Save as a new version" }).click();
    await page.getByLabel("Version").getByText("2, of").waitFor({ state: "attached" });
    complaints.splice(0);
    await page.getByLabel("Version").selectOption("1");
    await frame.getByText("Hello Ann,").waitFor();
    await page.getByRole("button", { name: "Restore version 1" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Restore" }).click();
    await page.getByLabel("Version").getByText("3, of").waitFor({ state: "attached" });
    // What is wrong is told.
    await page.getByLabel("HTML", { exact: true }).fill("<p>{{ name");
    await page.getByRole("alert").getByText("html").first().waitFor();
    complaints.splice(0);
    await page.getByLabel("HTML", { exact: true }).fill("<p>Hi {{ nobody }}");
    await page.locator("#main").getByText("nobody").first().waitFor();
    complaints.splice(0);
    await page.goto("/console/templates/evil");
    await frame.getByText("Hello Ann,").waitFor();
    await page.getByRole("button", { name: "Test send" }).click();
    await page.getByRole("dialog").getByLabel("From").fill("shop@sender.example");
    await page.getByRole("dialog").getByLabel("To", { exact: true }).fill("bo@dest.example");
    await page.keyboard.press("Enter");
    await page.getByText("It is in the queue as").waitFor();
  },

  async plugins({ page }, { name, password }) {
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await visit(page, "Plugins");
    const turn = async (button, verb) => {
      await button.click();
      await page.getByRole("dialog").getByRole("button", { name: verb }).click();
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await settle(page);
    };
    const counts = page.getByRole("switch", { name: "Answers of guard count" });
    must((await counts.getAttribute("aria-checked")) === "true", "its answers count");
    await turn(counts, "Only watch");
    await page.getByText("the settings say enforce").waitFor();
    must((await counts.getAttribute("aria-checked")) === "false", "they do no more");
    await page.getByRole("button", { name: "New version of guard" }).click();
    await page.getByRole("dialog").getByLabel("Is").selectOption("canary");
    await page.getByRole("dialog").getByLabel("Share of sessions").fill("20");
    await page.keyboard.press("Enter");
    await page.getByText("as canary for 20 % of sessions").waitFor();
  },

  async account({ page, context, complaints }, { name, password }) {
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    const [other] = (await context.cookies()).filter((one) => one.name.includes("baton"));
    await context.clearCookies();
    await logIn(page, name, password);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await visit(page, "Account");
    const change = async (old, fresh, again) => {
      await page.getByLabel("Current password").fill(old);
      await page.getByLabel("New password", { exact: true }).fill(fresh);
      await page.getByLabel("New password again").fill(again);
      await page.keyboard.press("Enter");
    };
    const better = "a better horse battery";
    await change(password, better, "another");
    await page.getByRole("alert").getByText("not the same both times").waitFor();
    await change("not the password", better, better);
    await page.getByRole("alert").getByText("is not your password").waitFor();
    await change(password, "short", "short");
    await page.getByRole("alert").getByText("12 characters").waitFor();
    complaints.splice(0);
    await change(password, better, better);
    await page.getByText("The password is changed").waitFor();
    // This session goes on, with its new secret; the other one is over.
    await visit(page, "Overview");
    const mine = await context.cookies();
    await context.addCookies([other]);
    await page.goto("/console/queue");
    await page.getByLabel("Name").waitFor();
    await context.addCookies(mine);
    await page.goto("/console/account");
    await page.getByRole("button", { name: "Log out everywhere" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out everywhere" }).click();
    await page.getByLabel("Name").waitFor();
    await context.addCookies(mine);
    await page.goto("/console/account");
    await page.getByLabel("Name").waitFor();
    await logIn(page, name, better);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
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
