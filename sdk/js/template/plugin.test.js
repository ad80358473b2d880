// `npm test` runs the hooks in Node, with a relay made up for each test. `baton plugin test` runs the component.

import assert from "node:assert/strict";
import { test } from "node:test";

import { next, reject } from "baton-sdk";
import { TestHost } from "baton-sdk/testing";
import * as plugin from "./plugin.js";

const host = new TestHost({ config: { blocked: ["bad.example"] } });

test("settings are checked", () => {
  assert.deepEqual(host.problems(plugin), []);
  assert.equal(new TestHost({ config: { blocked: "bad.example" } }).problems(plugin)[0].path, "blocked");
});

// hook: rcpt
test("blocked domains are refused", () => {
  assert.deepEqual(host.run(plugin, "rcpt", "ann@good.example", []), next());
  const refused = host.run(plugin, "rcpt", "ann@bad.example", []);
  assert.deepEqual(refused, reject(550, "5.7.1", "we do not serve that domain"));
});
// hook: end
