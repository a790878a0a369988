// A hub of its own for each test, the tickets that it takes, and a wire that can be cut.

import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const KEY = 'a key for tickets in tests, long enough';
const SECRET = 'a secret for publishing in tests, long enough';
const PATIENCE_MS = 20_000;

/** Waits until something holds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await sleep(5);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export class Hub {
  readonly port: number;
  readonly #inner: number;
  readonly #environment: Record<string, string>;
  #process: ChildProcess | undefined;

  private constructor(port: number, inner: number, environment: Record<string, string>) {
    this.port = port;
    this.#inner = inner;
    this.#environment = environment;
  }

  static async start(environment: Record<string, string> = {}): Promise<Hub> {
    const hub = new Hub(await freePort(), await freePort(), environment);
    await hub.start();
    return hub;
  }

  /** Starts it anew at the same place: what it held in memory is gone. */
  async start(): Promise<void> {
    const programs = process.env['PITCHEY_BIN_DIR'];
    if (programs === undefined) throw new Error('started without `cargo xtask client`');
    const { PATH = '' } = process.env;
    this.#process = spawn(`${programs}/hub`, {
      env: {
        PATH,
        HUB_HTTP__ADDRESS: `127.0.0.1:${this.port}`,
        HUB_METRICS__ADDRESS: `127.0.0.1:${this.#inner}`,
        HUB_TICKETS__KEY: KEY,
        HUB_PUBLISH__SECRET: SECRET,
        HUB_LOG__FILTER: 'warn',
        ...this.#environment,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const well = () =>
      fetch(`http://127.0.0.1:${this.port}/healthz`).then(
        (answer) => answer.ok,
        () => false,
      );
    await until('the hub answers', well);
  }

  /** Has it go away in order, and waits until it is gone. */
  async stop(): Promise<void> {
    const { exitCode } = this.#process ?? {};
    if (this.#process === undefined || exitCode !== null) return;
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    await gone;
  }

  async #post(path: string, body: unknown): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.#inner}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}` },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  }

  async publish(room: string, data: unknown): Promise<void> {
    await this.#post('/publish', { room, data });
  }

  async kick(user: string): Promise<void> {
    await this.#post('/admin/kick', { user_id: user });
  }

  async connections(): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/healthz`);
    return ((await answer.json()) as { connections: number }).connections;
  }
}

/** A ticket as the origin signs it. */
export function ticket(rooms: readonly string[], user?: string): string {
  const holder = user === undefined ? null : { user, role: 'investor', session: user };
  const expires_at = Math.floor(Date.now() / 1000) + 60;
  const payload = JSON.stringify({ id: randomUUID(), holder, rooms, expires_at });
  const mac = createHmac('sha256', KEY).update('pitchey realtime ticket 1\n').update(payload);
  return `${Buffer.from(payload).toString('base64url')}.${mac.digest('base64url')}`;
}

/** Between a client and a hub. */
export class Wire {
  readonly #server: Server;
  readonly #pairs = new Set<[Socket, Socket]>();
  /** How many connections there were. */
  count = 0;

  private constructor(target: number) {
    this.#server = createServer((near) => {
      this.count += 1;
      const far = connect(target, '127.0.0.1');
      const pair: [Socket, Socket] = [near, far];
      this.#pairs.add(pair);
      near.pipe(far);
      far.pipe(near);
      for (const socket of pair) {
        socket.on('error', () => {});
        socket.on('close', () => {
          near.destroy();
          far.destroy();
          this.#pairs.delete(pair);
        });
      }
    });
  }

  static async to(hub: Hub): Promise<Wire> {
    const wire = new Wire(hub.port);
    wire.#server.listen(0, '127.0.0.1');
    await once(wire.#server, 'listening');
    return wire;
  }

  get base(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  /** Lets nothing through any more on the connections that there are, without a word to anybody. */
  freeze(): void {
    for (const [near, far] of this.#pairs) {
      near.unpipe(far).pause();
      far.unpipe(near).pause();
    }
  }

  close(): void {
    this.#server.close();
    this.cut();
  }
}
