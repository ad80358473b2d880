// A browser that is used as people use it: by the keyboard. What goes wrong in a page is noted.

import { createRequire } from "node:module";
import { join } from "node:path";

const cache = join(process.env.XDG_CACHE_HOME || join(process.env.HOME, ".cache"), "baton/browser/");
const require = createRequire(cache);

/** A page with all that was complained about in it. */
export async function open(base, options = {}) {
  const { chromium } = require("playwright-core");
  // Chromium has no sandbox for root.
  const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args });
  const context = await browser.newContext({ baseURL: base, viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(`${message.type()}: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => complaints.push(`error: ${error.stack}`));
  page.on("requestfailed", (request) => {
    // A page that is left ends what it asked for.
    if (request.failure()?.errorText !== "net::ERR_ABORTED") complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`);
  });
  page.setDefaultTimeout(30_000);
  return { browser, context, page, complaints };
}

export function must(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
}

export async function logIn(page, name, password) {
  await page.goto("/console/");
  await page.getByLabel("Name").waitFor();
  // The name has the focus.
  await page.keyboard.type(name);
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
}

/** Moves the focus to an element by the keyboard alone, as `Tab` or `Shift+Tab` reaches it. */
export async function reach(page, locator, key = "Tab") {
  await locator.waitFor();
  for (let presses = 0; presses < 400; presses += 1) {
    if (await locator.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press(key);
  }
  throw new Error(`the keyboard does not reach ${locator}`);
}

/** Goes to a page by its link in the navigation. */
export async function visit(page, name) {
  const link = page.getByRole("navigation").getByRole("link", { name, exact: true });
  await page.locator("#main").focus();
  await reach(page, link, "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name }).waitFor();
  await settle(page);
}

/** Until nothing is being asked for. */
export async function settle(page) {
  await page.waitForLoadState("networkidle");
  await page.waitForFunction(() => document.querySelector("[aria-busy]") === null);
}

/** What some people could not use, where it is serious. */
export async function barriers(page) {
  const source = require("fs").readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(source);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const serious = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return serious.flatMap(({ id, help, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${help}: ${html} ${failureSummary}`));
}
