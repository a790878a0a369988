// Says how long a build of the worker takes to start: what Workers do once in each isolate. It is measured in
// V8, as Workers run on it, by processes of their own, since V8 remembers what it has compiled.
//
// It is told and not judged: how fast a machine is, is no property of a build.

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const TARGET_MS = 10;
const TIMES = 11;
const SCRIPTS = readdirSync(process.argv[2]).filter((name) => /\.m?js$/.test(name));

const [directory, once] = process.argv.slice(2);

async function measured() {
  // Only there with an option that this process is started with.
  const { SourceTextModule, SyntheticModule } = await import("node:vm");
  const read = (name) => readFileSync(join(directory, name));
  const bytes = read("pitchey_worker_bg.wasm");
  const sources = new Map(SCRIPTS.map((name) => [name, read(name).toString()]));
  const times = [performance.now()];
  const lap = () => times.push(performance.now());
  // Cloudflare does this before there is an isolate.
  const module = new WebAssembly.Module(bytes);
  lap();
  const modules = new Map();
  const linked = (specifier) => {
    const name = specifier.replace("./", "");
    if (!modules.has(name)) {
      modules.set(
        name,
        sources.has(name)
          ? new SourceTextModule(sources.get(name), { identifier: name })
          : new SyntheticModule(["default"], function () {
              this.setExport("default", module);
            }),
      );
    }
    return modules.get(name);
  };
  // What only Workers have.
  const theirs = { DurableObject: class {}, connect() {} };
  for (const name of ["cloudflare:workers", "cloudflare:sockets"]) {
    const exported = new SyntheticModule(Object.keys(theirs), function () {
      for (const [key, value] of Object.entries(theirs)) this.setExport(key, value);
    });
    modules.set(name, exported);
  }
  const worker = linked("./index.mjs");
  await worker.link(linked);
  await worker.evaluate();
  lap();
  const variables = { ORIGIN__URL: "http://127.0.0.1:1", PITCHEY__SECRET: "x".repeat(32) };
  modules.get("pitchey_worker.js").namespace.configure(JSON.stringify(variables), 0);
  lap();
  return times.slice(1).map((time, n) => time - times[n]);
}

if (once) {
  console.log(JSON.stringify(await measured()));
} else {
  const script = fileURLToPath(import.meta.url);
  const options = ["--no-warnings", "--experimental-vm-modules", script, directory, "once"];
  const run = () => JSON.parse(execFileSync(process.execPath, options, { encoding: "utf8" }));
  const runs = Array.from({ length: TIMES }, run);
  const told = (times) => {
    const [least, median, most] = [0, (TIMES - 1) / 2, TIMES - 1].map((n) => times.toSorted((a, b) => a - b)[n]);
    return `${median.toFixed(1)} ms (${least.toFixed(1)}-${most.toFixed(1)})`;
  };
  const column = (n) => told(runs.map((run) => run[n]));
  const start = told(runs.map(([, evaluated, configured]) => evaluated + configured));
  console.log(`compiled in ${column(0)}, once for all isolates of a machine`);
  console.log(`started in ${start}: evaluated ${column(1)}, configured ${column(2)}; target ${TARGET_MS} ms`);
}
