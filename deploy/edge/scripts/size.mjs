// Says how large a build of the worker is, and fails if what Workers count of it, which is its size after
// gzip, is over budget.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

const [directory, most] = process.argv.slice(2);
const budget = Number(most);
const names = readdirSync(directory).filter((name) => /\.(m?js|wasm)$/.test(name));
const rows = names.map((name) => {
  const bytes = readFileSync(join(directory, name));
  return [name, bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length];
});
const sum = (column) => rows.reduce((total, row) => total + row[column], 0);
const all = ["all", sum(1), sum(2), sum(3)];

const line = (name, ...numbers) => name.padEnd(24) + numbers.map((n) => String(n).padStart(12)).join("");
console.log(line("bytes", "raw", "gzip", "brotli"));
for (const row of [...rows, all]) console.log(line(...row));

const counted = all[2];
const share = Math.round((100 * counted) / budget);
console.log(`${share} % of the budget of ${budget} bytes after gzip`);
if (counted > budget) {
  console.error("the worker is over budget");
  process.exit(1);
}
