// The client against the real hub: what listeners are told, whatever becomes of connections.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import {
  type Environment,
  type Listener,
  type Options,
  Realtime,
  type Status,
  type Update,
} from '../src/index.js';
import type { WebSocketType } from '../src/link.js';
import { Hub, Wire, ticket, until } from './hub.js';

const QUICK = { backoff: { first: 20, most: 200 }, again: 20 };

/** What one listener was told. */
class Ear implements Listener {
  readonly updates: Update[] = [];
  reloads = 0;
  readonly refusals: string[] = [];

  update(update: Update): void {
    this.updates.push(update);
  }

  reload(): void {
    this.reloads += 1;
  }

  refused(code: string): void {
    this.refusals.push(code);
  }

  get data(): unknown[] {
    return this.updates.map(({ data }) => data);
  }
}

class Page implements Environment {
  online = true;
  visible = true;
  readonly #watchers = new Set<() => void>();

  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  become(state: { online?: boolean; visible?: boolean }): void {
    Object.assign(this, state);
    for (const changed of this.#watchers) changed();
  }
}

/** A hub, a wire to it, and clients that end with the test. */
async function site(t: TestContext, environment: Record<string, string> = {}) {
  const hub = await Hub.start(environment);
  const wire = await Wire.to(hub);
  const clients: Realtime[] = [];
  t.after(async () => {
    for (const client of clients) client.close();
    wire.close();
    await hub.stop();
  });
  const client = (options: Partial<Options> = {}, user?: string) => {
    const made = new Realtime({
      base: wire.base,
      ticket: async (rooms) => ticket(rooms, user),
      WebSocket: WebSocket as unknown as WebSocketType,
      timing: QUICK,
      ...options,
    });
    clients.push(made);
    return made;
  };
  return { hub, wire, client };
}

/** The client is in the room, as far as the hub is concerned: what is published next arrives. */
async function settled(hub: Hub, room: string, ear: Ear): Promise<void> {
  const mark = randomUUID();
  await until(`an update in ${room}`, async () => {
    await hub.publish(room, mark);
    return ear.data.includes(mark);
  });
  // More of them may be on their way: they come before this one.
  await hub.publish(room, 'settled');
  await until('all of them', () => ear.data.at(-1) === 'settled');
  assert.ok(consecutive(ear));
  ear.updates.length = 0;
}

function consecutive(ear: Ear): boolean {
  return ear.updates.every(({ offset }, at) => offset === (ear.updates[0]?.offset ?? 0) + at);
}

const pitch = () => `pitch:${randomUUID()}`;

test('updates come once and in order, to all listeners of a room', async (t) => {
  const { hub, client } = await site(t);
  const [one, other, later] = [new Ear(), new Ear(), new Ear()];
  const realtime = client();
  realtime.subscribe('lists', one);
  const leave = realtime.subscribe('lists', other);
  await settled(hub, 'lists', one);
  other.updates.length = 0;
  for (let n = 0; n < 100; n += 1) await hub.publish('lists', n);
  await until('all updates', () => one.updates.length === 100 && other.updates.length === 100);
  const expected = Array.from({ length: 100 }, (_, n) => n);
  assert.deepEqual(one.data, expected);
  assert.deepEqual(other.data, expected);

  // A room that the ticket has to name comes with a new one, and nothing of the other is lost.
  leave();
  const room = pitch();
  realtime.subscribe(room, later);
  await hub.publish('lists', 'between');
  await settled(hub, room, later);
  await until('what came meanwhile', () => one.data.at(-1) === 'between');
  assert.equal(one.updates.length, 101);
  assert.equal(other.updates.length, 100, 'who has left hears nothing');
  assert.equal(one.reloads, 0);
});

test('what was missed by a cut follows, exactly', async (t) => {
  const { hub, wire, client } = await site(t);
  const ear = new Ear();
  client().subscribe('lists', ear);
  await settled(hub, 'lists', ear);
  for (let n = 0; n < 60; n += 1) {
    if (n % 20 === 10) wire.cut();
    await hub.publish('lists', n);
  }
  await until('all updates', () => ear.updates.length === 60);
  assert.deepEqual(ear.data, Array.from({ length: 60 }, (_, n) => n));
  assert.equal(ear.reloads, 0);
});

test('when what was missed is not known, the listener is told to load anew', async (t) => {
  const { hub, client } = await site(t);
  const ear = new Ear();
  const statuses: Status[] = [];
  const realtime = client({ status: (status) => statuses.push(status) });
  realtime.subscribe('lists', ear);
  await settled(hub, 'lists', ear);
  await hub.stop();
  // The process may be gone before the client has read of it.
  await until('it lets go', () => realtime.status !== 'open');
  await hub.start();
  await until('the reload', () => ear.reloads === 1);
  await settled(hub, 'lists', ear);
  assert.deepEqual(statuses.slice(0, 3), ['connecting', 'open', 'waiting']);
});

test('a session that has ended is not come back to', async (t) => {
  const { hub, wire, client } = await site(t);
  const user = randomUUID();
  const ear = new Ear();
  const realtime = client({}, user);
  realtime.subscribe(`user:${user}`, ear);
  await settled(hub, `user:${user}`, ear);
  await hub.kick(user);
  await until('the end', () => realtime.status === 'closed');
  assert.equal(wire.count, 1);
});

test('a room that one may not enter is refused, and the others go on', async (t) => {
  const { hub, client } = await site(t);
  const [mine, theirs] = [new Ear(), new Ear()];
  const realtime = client();
  realtime.subscribe('lists', mine);
  realtime.subscribe('ops', theirs);
  await until('the refusal', () => theirs.refusals.length === 1);
  assert.deepEqual(theirs.refusals, ['forbidden']);
  await settled(hub, 'lists', mine);
});

test('two sides of a room tell each other, and see who is there', async (t) => {
  const { hub, client } = await site(t);
  const [ann, bob] = [randomUUID(), randomUUID()];
  const room = `nda:${randomUUID()}`;
  const counts: number[] = [];
  const annsEar = Object.assign(new Ear(), {
    presence: ({ count }: { count: number }) => counts.push(count),
  });
  const bobsEar = new Ear();
  client({}, ann).subscribe(room, annsEar);
  await settled(hub, room, annsEar);
  await until('the first count', () => counts.includes(1));
  const bobs = client({}, bob);
  bobs.subscribe(room, bobsEar);
  await settled(hub, room, bobsEar);
  await until('the second count', () => counts.at(-1) === 2);
  const { offset } = await bobs.publish(room, { text: 'hello' });
  await until('what was said', () => annsEar.updates.at(-1)?.offset === offset);
  assert.deepEqual(annsEar.data.at(-1), { text: 'hello' });
  await assert.rejects(bobs.publish('lists', 1), { code: 'forbidden' });
});

/** As where something on the way lets no WebSocket through. */
const Nowhere = class extends EventTarget {
  constructor() {
    super();
    queueMicrotask(() => {
      this.dispatchEvent(new Event('error'));
      this.dispatchEvent(Object.assign(new Event('close'), { code: 1006 }));
    });
  }
  send(): void {}
  close(): void {}
} as unknown as WebSocketType;

test('without WebSockets, server-sent events bring the same', async (t) => {
  const { hub, wire, client } = await site(t);
  const [ear, later] = [new Ear(), new Ear()];
  const realtime = client({ WebSocket: Nowhere });
  realtime.subscribe('lists', ear);
  await settled(hub, 'lists', ear);
  await assert.rejects(realtime.publish('lists', 1), { code: 'not_connected' });
  for (let n = 0; n < 40; n += 1) {
    if (n === 10) wire.cut();
    if (n === 30) realtime.subscribe(pitch(), later);
    await hub.publish('lists', n);
  }
  await until('all updates', () => ear.updates.length === 40);
  assert.deepEqual(ear.data, Array.from({ length: 40 }, (_, n) => n));
  assert.equal(ear.reloads, 0);
});

test('who is offline waits for the network', async (t) => {
  const { hub, wire, client } = await site(t);
  const page = new Page();
  const ear = new Ear();
  const realtime = client({ environment: page });
  realtime.subscribe('lists', ear);
  await settled(hub, 'lists', ear);
  page.become({ online: false });
  assert.equal(realtime.status, 'waiting');
  await until('the end of the connection', async () => (await hub.connections()) === 0);
  await hub.publish('lists', 'missed');
  const before = wire.count;
  page.become({ online: true });
  await until('what was missed', () => ear.data.includes('missed'));
  assert.equal(wire.count, before + 1);
});

test('a page that nobody looks at does not come back before somebody does', async (t) => {
  const { hub, wire, client } = await site(t);
  const page = new Page();
  const [hidden, seen] = [new Ear(), new Ear()];
  const realtime = client({ environment: page });
  realtime.subscribe('lists', hidden);
  client().subscribe('lists', seen);
  await settled(hub, 'lists', hidden);
  await settled(hub, 'lists', seen);
  hidden.updates.length = 0;
  page.become({ visible: false });
  // The other one comes back each time.
  for (let n = 1; n <= 5; n += 1) {
    wire.cut();
    await until('the other is back', async () => (await hub.connections()) === 1);
    await settled(hub, 'lists', seen);
    assert.equal(realtime.status, 'waiting');
  }
  assert.equal(hidden.updates.length, 0);
  page.become({ visible: true });
  await until('what was missed', () => hidden.updates.length > 0 && consecutive(hidden));
});

test('a connection on which nothing comes any more is found out', async (t) => {
  const { hub, wire, client } = await site(t);
  const ear = new Ear();
  client({ timing: { ...QUICK, silence: 400 } }).subscribe('lists', ear);
  await settled(hub, 'lists', ear);
  wire.freeze();
  await hub.publish('lists', 'missed');
  await until('what was missed', () => ear.data.includes('missed'));
  assert.equal(ear.reloads, 0);
});

test('tickets that cannot be had are asked for again', async (t) => {
  const { hub, client } = await site(t);
  const ear = new Ear();
  let failures = 3;
  const realtime = client({
    ticket: async (rooms) => {
      failures -= 1;
      if (failures >= 0) throw new Error('no ticket');
      // One that is used is none either: the hub closes with 4001.
      return failures === -1 ? 'forged.ticket' : ticket(rooms);
    },
  });
  realtime.subscribe('lists', ear);
  await settled(hub, 'lists', ear);
  assert.ok(failures <= -2);
});

test('an update right behind the answer is not missed', async () => {
  const listeners = new Map<string, (event: unknown) => void>();
  let connections = 0;
  // A server that says both in one breath, as two frames in one packet are read.
  class Breath {
    constructor() {
      connections += 1;
      setImmediate(() => listeners.get('open')?.({}));
    }

    addEventListener(type: string, listener: (event: unknown) => void): void {
      if (!listeners.has(type)) listeners.set(type, listener);
    }

    send(text: string): void {
      const { id, room } = JSON.parse(text);
      const say = (frame: unknown) => listeners.get('message')?.({ data: JSON.stringify(frame) });
      const update = (offset: number) => ({ room, offset, at: 0, data: offset });
      setImmediate(() => {
        say({ id, ok: { epoch: 'e', offset: 1, recovered: false, updates: [] } });
        say({ batch: [update(2)] });
        say({ batch: [update(3)] });
      });
    }

    close(): void {}
  }
  const ear = new Ear();
  const realtime = new Realtime({
    base: 'http://127.0.0.1:1',
    ticket: async () => 'a.ticket',
    WebSocket: Breath as unknown as WebSocketType,
    timing: QUICK,
  });
  realtime.subscribe('lists', ear);
  await until('the last of them', () => ear.data.includes(3));
  realtime.close();
  assert.deepEqual(ear.data, [2, 3]);
  assert.equal(connections, 1);
});
