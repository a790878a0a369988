// Writes src/protocol.ts from the JSON Schema that the server's own tests hold its frames against.
// `--check` writes nothing, and fails if the file is not what would be written.

import { readFile, writeFile } from 'node:fs/promises';
import { compile } from 'json-schema-to-typescript';

const SCHEMA = new URL('../../../crates/realtime/src/schema.json', import.meta.url);
const TYPES = new URL('../src/protocol.ts', import.meta.url);
const BANNER = `// The frames of the protocol \`pitchey.v1\`, generated from crates/realtime/src/schema.json:
// \`npm run types\` renews them.`;

const schema = JSON.parse(await readFile(SCHEMA, 'utf8'));
// What can be any JSON is `unknown`, and names are those of the definitions.
delete schema.title;
const types = await compile(schema, 'Frame', {
  additionalProperties: false,
  bannerComment: BANNER,
  style: { singleQuote: true, printWidth: 100 },
  unknownAny: true,
  unreachableDefinitions: false,
});
if (!process.argv.includes('--check')) {
  await writeFile(TYPES, types);
} else if ((await readFile(TYPES, 'utf8').catch(() => '')) !== types) {
  console.error('src/protocol.ts is not what the schema says: `npm run types` renews it');
  process.exit(1);
}
