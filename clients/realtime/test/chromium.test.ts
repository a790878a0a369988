// The same in a browser, with its own WebSockets and its own word on whether there is a network.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { Hub, Wire, ticket, until } from './hub.js';

const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executablePath = process.env['CHROMIUM'] ?? BROWSERS.find(existsSync);

const PAGE = `<!doctype html><title>Realtime</title><script type="module">
  import { Realtime } from '/client/index.js';
  const base = new URLSearchParams(location.search).get('base');
  const ticket = async (rooms, signal) => (await fetch('/ticket', { signal })).text();
  globalThis.seen = [];
  globalThis.realtime = new Realtime({ base, ticket, timing: { backoff: { first: 20, most: 200 } } });
  realtime.subscribe('lists', { update: ({ data }) => seen.push(data), reload: () => seen.push('reload') });
</script>`;

/** Serves the page, the client as it was built, and tickets. */
async function site() {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0] ?? '';
    const answer = async (): Promise<[string, string | Buffer]> => {
      if (path === '/') return ['text/html', PAGE];
      if (path === '/ticket') return ['text/plain', ticket([])];
      const name = /^\/client\/([a-z]+\.js)$/.exec(path)?.[1];
      if (name === undefined) throw new Error('there is nothing');
      return ['text/javascript', await readFile(new URL(`../src/${name}`, import.meta.url))];
    };
    answer().then(
      ([type, body]) => response.setHeader('content-type', type).end(body),
      () => response.writeHead(404).end(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { server, origin: `http://127.0.0.1:${port}` };
}

declare global {
  var seen: unknown[];
}

test(
  'a page in Chromium misses nothing, cut off or offline',
  { skip: executablePath === undefined && 'there is no Chromium' },
  async (t) => {
    const { server, origin } = await site();
    const hub = await Hub.start({ HUB_HTTP__ALLOWED_ORIGINS: JSON.stringify([origin]) });
    const wire = await Wire.to(hub);
    const path = executablePath ?? '';
    const browser = await chromium.launch({ executablePath: path, args: ['--no-sandbox'] });
    t.after(async () => {
      await browser.close();
      wire.close();
      server.close();
      await hub.stop();
    });
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${origin}/?base=${encodeURIComponent(wire.base)}`);
    const seen = () => page.evaluate(() => globalThis.seen);
    let n = 0;
    const publish = async () => {
      n += 1;
      await hub.publish('lists', n);
    };
    await until('the page is there', async () => {
      await publish();
      return (await seen()).length > 0;
    });
    const first = (await seen())[0] as number;
    for (let round = 0; round < 3; round += 1) {
      await publish();
      wire.cut();
      await publish();
    }
    await context.setOffline(true);
    await until('it lets go', async () => (await hub.connections()) === 0);
    await publish();
    await context.setOffline(false);
    await until('what was missed', async () => (await seen()).at(-1) === n);
    const expected = Array.from({ length: n - first + 1 }, (_, at) => first + at);
    assert.deepEqual(await seen(), expected);
  },
);
