#!/usr/bin/env node
// baton-js build SOURCE [-o OUTPUT]: from a module that exports onRcpt, onData, … to a component for the relay.
//
// The hooks are the module's exports: a world of just these is written beside the contract, and an entry that ties the
// module to it. Everything ends up in one script, which QuickJS evaluates now; the component begins from its memory.

import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { HOOKS } from "../src/plugin.js";

const SDK = join(dirname(fileURLToPath(import.meta.url)), "..");
/** The contract: packed with the SDK, or where the SDK lies in the relay's sources. */
const CONTRACT = [join(SDK, "wit"), join(SDK, "../../wit")];
const HOST = ["log", "config", "kv", "dns", "http", "metrics", "clock"];
const RELAY = ["session", "envelope", "message", "routing", "failure", "verify"];
const VERSION = "0.1.0";

async function main() {
  const { positionals, values } = parseArgs({ allowPositionals: true, options: { output: { type: "string", short: "o" } } });
  const [command, source] = positionals;
  if (command !== "build" || !source) throw new Error("usage: baton-js build SOURCE [-o OUTPUT]");
  const output = values.output ?? `dist/${basename(source).replace(/\.[^.]+$/, "")}.wasm`;
  const tools = toolsOf(process.cwd());
  const folder = await mkdtemp(join(tmpdir(), "baton-js-"));
  try {
    const hooks = hooksOf(await exportsOf(tools, resolve(source)), source);
    const witPath = await writeWorld(folder, hooks);
    const jsSource = await bundle(tools, resolve(source), hooks);
    const { component } = await tools.componentize({ witPath, jsSource, world: "plugin", sync: true, stubWasi: true, optSize: true });
    await mkdir(dirname(resolve(output)), { recursive: true });
    await writeFile(output, component);
    console.log(`${output}: ${Math.ceil(component.length / 1024)} KiB, hooks: ${hooks.join(", ")}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The tools are those of the plugin's project, where their versions are pinned. */
function toolsOf(project) {
  const load = createRequire(join(project, "package.json"));
  try {
    return { componentize: load("componentize-qjs").componentize, build: load("esbuild").build };
  } catch (error) {
    throw new Error(`${project}: run \`npm install\` first, with componentize-qjs and esbuild as devDependencies (${error.message.split("\n")[0]})`);
  }
}

async function exportsOf({ build }, source) {
  const { metafile } = await build({ ...BUNDLE, entryPoints: [source], metafile: true, outdir: "unused" });
  return Object.values(metafile.outputs)[0].exports;
}

function hooksOf(exported, source) {
  const names = Object.values(HOOKS).map(({ name }) => name);
  const unknown = exported.filter((name) => /^on[A-Z]/.test(name) && !names.includes(name));
  if (unknown.length > 0) throw new Error(`${source}: ${unknown.join(", ")} is no hook; hooks are ${names.join(", ")}`);
  const hooks = Object.keys(HOOKS).filter((hook) => exported.includes(HOOKS[hook].name));
  if (hooks.length === 0) throw new Error(`${source} exports no hook: export a function named ${names.join(", ")}`);
  return hooks;
}

async function writeWorld(folder, hooks) {
  const contract = CONTRACT.find((path) => existsSync(join(path, "relay.wit")));
  if (!contract) throw new Error(`the contract is not there: neither ${CONTRACT.join(" nor ")}`);
  const wit = join(folder, "wit");
  await cp(contract, wit, { recursive: true });
  const exported = hooks.map((hook) => `export ${hook}-hook;`).join(" ");
  await writeFile(join(wit, "plugin.wit"), `package baton:relay@${VERSION};\nworld plugin { include base; ${exported} }\n`);
  return wit;
}

async function bundle({ build }, source, hooks) {
  const names = [...HOST.map((name) => ["host", name]), ...RELAY.map((name) => ["relay", name])];
  const entry = [
    ...names.map(([home, name]) => `import * as ${name} from "baton:${home}/${name}@${VERSION}";`),
    `import { connect } from "baton-sdk/internal/host";`,
    `import { adapt } from "baton-sdk/internal/plugin";`,
    `import * as plugin from ${JSON.stringify(source)};`,
    `connect({ ${names.map(([, name]) => name).join(", ")} });`,
    `const interfaces = adapt(plugin);`,
    `export const lifecycle = interfaces.lifecycle;`,
    ...hooks.map((hook) => `export const ${hook}Hook = interfaces.${hook};`),
  ];
  const { outputFiles } = await build({
    ...BUNDLE,
    stdin: { contents: entry.join("\n"), resolveDir: dirname(source), sourcefile: "entry.js" },
    outfile: "plugin.js",
  });
  return outputFiles[0].text;
}

/** The plugin's own "baton-sdk" may be a link or a copy; all of it is one module: the SDK that this tool belongs to. */
const BUNDLE = {
  bundle: true,
  format: "esm",
  target: "es2023",
  platform: "neutral",
  mainFields: ["module", "main"],
  external: ["baton:*"],
  alias: { "baton-sdk/internal/host": join(SDK, "src/host.js"), "baton-sdk/internal/plugin": join(SDK, "src/plugin.js"), "baton-sdk": join(SDK, "src/index.js") },
  write: false,
  logLevel: "warning",
};

await main().catch((error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
});
