// How long the overview takes to be seen: `node paint.mjs BASE OPERATOR [STREAMS]`, with the operator's password on the
// standard input. Makes a tenant with so many streams, a message by each of them, where there are none yet.

import { readFileSync } from "node:fs";

import { logIn, open } from "./browser.mjs";

const ROUNDS = 5;
const TENANT = "paint";

const [, , base, name, wanted = "10000"] = process.argv;
const password = readFileSync(0, "utf8").trim();
const { browser, page, complaints } = await open(base);
await logIn(page, name, password);
await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
await page.evaluate(fill, { tenant: TENANT, wanted: Number(wanted) });
const rounds = [];
for (let round = 0; round < ROUNDS; round += 1) {
  await page.goto("/console/");
  // The first figures, and the tables of the last day.
  await page.waitForFunction(() => /\d/.test(document.querySelector(".tile strong")?.textContent ?? ""));
  const figures = await page.evaluate(() => performance.now());
  await page.waitForFunction(() => document.querySelectorAll(".columns table tbody tr").length > 8);
  const tables = await page.evaluate(() => performance.now());
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
  rounds.push({ paint, figures, tables });
}
for (const part of ["paint", "figures", "tables"]) {
  const sorted = rounds.map((round) => round[part]).sort((one, other) => one - other);
  console.log(`${part.padEnd(8)} median ${Math.round(sorted[Math.floor(ROUNDS / 2)])} ms, slowest ${Math.round(sorted[ROUNDS - 1])} ms`);
}
if (complaints.length > 0) console.log(complaints.join("\n"));
await browser.close();

/** Runs in the page, by its session. */
async function fill({ tenant, wanted }) {
  const session = await (await fetch("/v1/session")).json();
  const ask = async (method, path, body) => {
    const headers = { "content-type": "application/json", "x-csrf-token": session.csrf };
    const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    return { status: answer.status, body: await answer.json() };
  };
  const made = await ask("POST", "/v1/tenants", { name: tenant, domains: [`${tenant}.example`] });
  if (made.status !== 201) return;
  const names = Array.from({ length: wanted }, (_, index) => `stream-${index}`);
  const some = async (names, act) => {
    for (let at = 0; at < names.length; at += 50) await Promise.all(names.slice(at, at + 50).map(act));
  };
  await some(names, (stream) => ask("POST", "/v1/streams", { tenant, name: stream }));
  for (let at = 0; at < names.length; at += 500) {
    const messages = names.slice(at, at + 500).map((stream, index) => ({ stream, to: [`p${index}@dest.example`] }));
    const common = { tenant, from: `a@${tenant}.example`, subject: "x", text: "x" };
    const sent = await ask("POST", "/v1/messages/batch", { common, messages });
    if (sent.status >= 300) throw new Error(JSON.stringify(sent));
  }
}
