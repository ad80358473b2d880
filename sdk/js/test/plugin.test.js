import assert from "node:assert/strict";
import { test } from "node:test";

import * as sdk from "../src/index.js";
import { toRawDecision } from "../src/decision.js";
import { TestHost } from "../src/testing.js";

test("decisions are those of the hook, with what they carry", () => {
  assert.deepEqual(toRawDecision("onData", sdk.reject(550, "5.7.1", "no")), {
    tag: "reject", val: { code: 550, enhanced: [5, 7, 1], text: "no" },
  });
  assert.deepEqual(toRawDecision("onData", sdk.reject("no")).val, { code: 550, enhanced: [5, 7, 1], text: "no" });
  assert.deepEqual(toRawDecision("onData", sdk.tempfail(450, "later")).val, { code: 450, enhanced: null, text: "later" });
  assert.deepEqual(toRawDecision("onRcpt", sdk.discard("not told")), { tag: "discard" });
  assert.deepEqual(toRawDecision("onBounce", sdk.retry("1s")), { tag: "retry", val: 1000 });
  assert.throws(() => toRawDecision("onRcpt", sdk.quarantine("virus")), /onRcpt returned quarantine\(\); it must return next, accept/);
  assert.throws(() => toRawDecision("onData", undefined), /onData returned nothing/);
  assert.throws(() => sdk.reject(450, "4.7.1", "later"), /of 5xx, not 450/);
  assert.throws(() => sdk.reject(550, "5.7", "x"), /needs an enhanced code/);
});

test("text survives the way to octets and back, and what is no UTF-8 is replaced", () => {
  const text = "grüße, 🦀 and \u0000";
  assert.equal(sdk.toText(sdk.toOctets(text)), text);
  assert.equal(sdk.toText(Uint8Array.of(0x61, 0xff, 0xc3, 0xa9, 0xc3)), "a\uFFFDé\uFFFD");
  assert.equal(sdk.toText(sdk.toOctets("é".repeat(20_000))).length, 20_000);
});

test("a hook sees the message, asks the store and changes the header", () => {
  const host = new TestHost({
    config: { prefix: "[list]" },
    session: { helo: "client.example", tls: { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", certificate: { subject: "ann", sha256: "00ff", distrust: "expired" } } },
    envelope: { sender: "ann@us.example", recipients: ["bob@them.example"] },
    message: { headers: [["Subject", "hello"]], parts: [{ filename: "a.txt", content: "x" }, { content: "y" }] },
  });
  const plugin = {
    onData() {
      const [first, second] = sdk.message.parts();
      assert.equal(first.filename, "a.txt");
      assert.equal(second.text(), "y");
      assert.equal(first.text(), "x");
      assert.equal(`${sdk.envelope.sender}`, "ann@us.example");
      assert.equal(sdk.session.helo, "client.example");
      assert.equal(sdk.session.iprev, "permerror");
      const { certificate, ...tls } = sdk.session.tls;
      assert.deepEqual(tls, { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" });
      assert.equal(certificate.distrust, "expired");
      assert.equal(sdk.kv("seen").increment("all"), 1);
      sdk.message.setHeader("Subject", `${sdk.config.prefix} ${sdk.message.header("subject")}`);
      sdk.message.replaceBody("new\n", sdk.message.range(3, 4));
      return sdk.next();
    },
  };
  assert.deepEqual(host.run(plugin, "data"), sdk.next());
  assert.deepEqual(host.edits, [["setHeader", "Subject", "[list] hello"], ["replaceBody", "new\r\n", { offset: 3, length: 4 }]]);
  assert.deepEqual(host.kv("seen"), { all: 1 });
});

test("what goes wrong is logged with its place and ends the call", () => {
  const host = new TestHost();
  const plugin = { onRcpt: () => sdk.verify("bob@us.example") };
  assert.throws(() => host.run(plugin, "rcpt", "bob@us.example", []), (error) => error instanceof sdk.HostError && error.code === "denied");
  assert.match(host.logs[0].message, /onRcpt: HostError: verify bob@us.example: denied/);
  assert.throws(() => host.run({ onRcpt: async () => sdk.next() }, "rcpt", "bob@us.example", []), /a promise/);
});

test("settings are checked once, and their problems name the path", () => {
  const plugin = { init: ({ limit }) => (limit > 0 ? [] : [{ path: "limit", message: "must be positive" }]), onData: sdk.next };
  assert.deepEqual(new TestHost({ config: { limit: 1 } }).problems(plugin), []);
  assert.deepEqual(new TestHost().problems(plugin), [{ path: "limit", message: "must be positive" }]);
});
