// Stays connected: tickets, rooms, recovery, and when to come back.
//
// The promise of the server holds to the listeners: every update of a room once and in order, or `reload`.

import { type Backoff, delay } from './backoff.js';
import { type Environment, page } from './environment.js';
import { type Link, type WebSocketType, openSocket, openStream } from './link.js';
import type { Client, Position, Present, Server, Subscribed } from './protocol.js';
import { type Listener, Room } from './rooms.js';

export type Status =
  /** Nobody listens to anything. */
  | 'idle'
  | 'connecting'
  | 'open'
  /** Until the next attempt, a network, or somebody who looks. */
  | 'waiting'
  /** For good: `close` was called, the session has ended, or the server does not understand this client. */
  | 'closed';

/** Times, in milliseconds. */
export interface Timing {
  readonly backoff: Backoff;
  /** How long a ticket, a connection and an answer may take. */
  readonly patience: number;
  /** After so long without a sound the other side is asked, and after half as long again given up. */
  readonly silence: number;
  /** A connection that lasted so long was a good one: the next failure is a first one. */
  readonly stable: number;
  /** What the server could not do just now is asked again. */
  readonly again: number;
  /** After so long on server-sent events, WebSockets are tried again. */
  readonly upgrade: number;
}

const TIMING: Timing = {
  backoff: { first: 500, most: 30_000 },
  patience: 10_000,
  silence: 30_000,
  stable: 5_000,
  again: 1_000,
  upgrade: 300_000,
};

export interface Options {
  /** Where the server is, as `https://pitchey.example`. */
  readonly base: string;
  /** Gets a ticket that names these rooms. */
  readonly ticket: (rooms: readonly string[], signal: AbortSignal) => Promise<string>;
  readonly status?: (status: Status) => void;
  readonly WebSocket?: WebSocketType | undefined;
  readonly fetch?: typeof globalThis.fetch;
  readonly environment?: Environment;
  readonly random?: () => number;
  readonly timing?: Partial<Timing>;
}

/** Why something that was asked for did not happen. */
export class RealtimeError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'RealtimeError';
    this.code = code;
  }
}

/** So many attempts by WebSocket that never opened, and server-sent events are tried. */
const FAILED_SOCKETS = 2;

/** The most rooms that a ticket names, and that a stream of events has. */
const MAX_ROOMS = 32;

const DRAIN = 1001;
const LOST = 1006;
const SESSION_ENDED = 4003;
const LIMITS = 4029;
/** This client does not say what the server understands: the same again would end the same. */
const MISUNDERSTOOD: readonly number[] = [1002, 1003, 1007, 1009];

type Question = Exclude<Client, { op: 'ping' }>;

interface Asked {
  done(ok: unknown): void;
  failed(error: RealtimeError): void;
  timer: ReturnType<typeof setTimeout>;
}

export class Realtime {
  readonly #options: Options;
  readonly #timing: Timing;
  readonly #environment: Environment;
  readonly #unwatch: () => void;
  readonly #rooms = new Map<string, Room>();
  readonly #asked = new Map<number, Asked>();
  #status: Status = 'idle';
  #link: Link | undefined;
  /** Names the connection or the attempt that counts; what is told by others is too late. */
  #current = 0;
  #nextId = 0;
  #failures = 0;
  #failedSockets = 0;
  #openedAt = 0;
  #heardAt = 0;
  /** How long the server wants us to stay away. */
  #away: number | undefined;
  /** The rooms that the ticket of this connection names. */
  #named: readonly string[] = [];
  /** Of the stream's rooms, by their place in it. */
  #streamed: readonly string[] = [];
  #waiting: ReturnType<typeof setTimeout> | undefined;
  #beat: ReturnType<typeof setInterval> | undefined;
  #abort: AbortController | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#environment = options.environment ?? page();
    this.#unwatch = this.#environment.watch(() => this.#changed());
  }

  get status(): Status {
    return this.#status;
  }

  /** Listens to a room until what is returned is called. */
  subscribe(name: string, listener: Listener): () => void {
    let room = this.#rooms.get(name);
    if (room === undefined) {
      room = new Room(name);
      this.#rooms.set(name, room);
      // So that rooms that are subscribed to one after the other go together.
      queueMicrotask(() => this.#added(name));
    } else if (listener.presence !== undefined && room.inside) {
      this.#askPresence(room);
    }
    room.listeners.add(listener);
    return () => this.#unsubscribe(name, listener);
  }

  /** Tells everyone in a room. */
  async publish(room: string, data: unknown): Promise<Position> {
    if (this.#link?.speaks !== true || this.#status !== 'open') {
      throw new RealtimeError('not_connected', 'there is no connection that one can publish by');
    }
    return (await this.#ask({ id: 0, op: 'publish', room, data })) as Position;
  }

  /** Ends for good. */
  close(): void {
    this.#end();
  }

  #unsubscribe(name: string, listener: Listener): void {
    const room = this.#rooms.get(name);
    if (room === undefined || !room.listeners.delete(listener) || room.listeners.size > 0) return;
    this.#rooms.delete(name);
    if (this.#rooms.size === 0) {
      this.#drop();
      if (this.#status !== 'closed') this.#set('idle');
    } else if (room.inside && this.#link?.speaks === true) {
      this.#ask({ id: 0, op: 'unsubscribe', room: name }).catch(() => {});
    }
  }

  /** A room is new: it is entered, by a new connection if this one's ticket does not name it. */
  #added(name: string): void {
    const room = this.#rooms.get(name);
    if (room === undefined || room.inside) return;
    if (this.#status === 'idle') {
      void this.#connect();
    } else if (this.#status === 'open' && !this.#entersBy(room)) {
      // Where WebSockets do not work, they do not work for one more room.
      if (this.#link?.speaks === false) this.#failedSockets = FAILED_SOCKETS;
      this.#drop();
      void this.#connect();
    } else if (this.#status === 'open') {
      this.#enter(room);
    } else if (this.#status === 'connecting' && !this.#named.includes(name)) {
      this.#drop();
      void this.#connect();
    }
  }

  #entersBy(room: Room): boolean {
    return this.#link?.speaks === true && (!room.isNamed || this.#named.includes(room.name));
  }

  async #connect(): Promise<void> {
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    const current = ++this.#current;
    this.#set('connecting');
    const rooms = [...this.#rooms.values()];
    this.#named = rooms.filter((room) => room.isNamed).map((room) => room.name).slice(0, MAX_ROOMS);
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const late = setTimeout(() => {
      if (this.#current === current) this.#lost(LOST);
    }, this.#timing.patience);
    try {
      const ticket = await this.#options.ticket(this.#named, signal);
      if (this.#current !== current) return;
      this.#link = this.#open(ticket, current, () => clearTimeout(late));
    } catch {
      if (this.#current === current) this.#lost(LOST);
    } finally {
      if (this.#current !== current) clearTimeout(late);
    }
  }

  #open(ticket: string, current: number, opened: () => void): Link {
    const isCurrent = () => this.#current === current;
    const told = {
      open: () => {
        opened();
        if (isCurrent()) this.#opened();
      },
      frame: (frame: Server) => {
        if (isCurrent()) this.#frame(frame);
      },
      heard: () => {
        if (isCurrent()) this.#heardAt = Date.now();
      },
      closed: (code: number) => {
        opened();
        if (isCurrent()) this.#lost(code);
      },
    };
    const { base } = this.#options;
    const type = this.#options.WebSocket ?? globalThis.WebSocket;
    const fetch = this.#options.fetch ?? globalThis.fetch.bind(globalThis);
    if (type !== undefined && this.#failedSockets < FAILED_SOCKETS) {
      // Unless it opens.
      this.#failedSockets += 1;
      return openSocket(type, base, ticket, told);
    }
    const rooms = [...this.#rooms.values()].slice(0, MAX_ROOMS);
    this.#streamed = rooms.map((room) => room.name);
    const places = rooms.map(({ name, position }) =>
      position === undefined ? [] : [`${name}@${position.epoch}@${position.offset}`],
    );
    // The next attempt is by WebSocket once more, and this again if that fails.
    this.#failedSockets = FAILED_SOCKETS - 1;
    return openStream(fetch, base, ticket, this.#streamed, places.flat().join(','), told);
  }

  #opened(): void {
    this.#openedAt = this.#heardAt = Date.now();
    this.#away = undefined;
    this.#beat = setInterval(() => this.#listen(), this.#timing.silence / 4);
    this.#set('open');
    if (this.#link?.speaks === true) {
      this.#failedSockets = 0;
      for (const room of this.#rooms.values()) this.#enter(room);
    }
  }

  #enter(room: Room): void {
    const current = this.#current;
    const since = room.position;
    const frame = { id: 0, op: 'subscribe' as const, room: room.name };
    // At once: an update may be right behind the answer, and is taken only by who has entered.
    this.#say(
      since === undefined ? frame : { ...frame, since },
      (ok) => {
        // It may have been left meanwhile, which was not said as it was not entered.
        if (this.#rooms.get(room.name) === room) this.#entered(room, ok as Subscribed);
        else this.#ask({ id: 0, op: 'unsubscribe', room: room.name }).catch(() => {});
      },
      (error) => {
        if (this.#current === current) this.#notEntered(room, error.code);
      },
    );
  }

  #entered(room: Room, ok: Subscribed): void {
    room.entered(ok);
    if (this.#link?.speaks === true && room.wantsPresence) this.#askPresence(room);
  }

  #notEntered(room: Room, code: string): void {
    if (this.#rooms.get(room.name) !== room) return;
    if (code === 'unavailable') {
      const current = this.#current;
      setTimeout(() => {
        const still = this.#current === current && this.#rooms.get(room.name) === room;
        if (!still) return;
        if (this.#link?.speaks === true) this.#enter(room);
        else this.#lost(LOST);
      }, this.#timing.again);
    } else if (code === 'already_subscribed') {
      // It was left and entered again before the first answer came: to begin anew is simplest.
      this.#lost(LOST);
    } else {
      this.#rooms.delete(room.name);
      room.refused(code);
    }
  }

  #askPresence(room: Room): void {
    this.#ask({ id: 0, op: 'presence', room: room.name }).then(
      (ok) => room.presence(ok as Present),
      () => {},
    );
  }

  /** Says something that is answered. The id is given here. */
  #ask(frame: Question): Promise<unknown> {
    return new Promise((done, failed) => this.#say(frame, done, failed));
  }

  /** The same for who must know of the answer before the next frame is looked at. */
  #say(frame: Question, done: Asked['done'], failed: Asked['failed']): void {
    const id = ++this.#nextId;
    const current = this.#current;
    // A server that does not answer is none.
    const timer = setTimeout(() => {
      if (this.#current === current) this.#lost(LOST);
    }, this.#timing.patience);
    this.#asked.set(id, { done, failed, timer });
    try {
      this.#link?.send({ ...frame, id });
    } catch {
      this.#answered(id)?.failed(new RealtimeError('not_connected', 'it could not be sent'));
    }
  }

  #answered(id: number): Asked | undefined {
    const asked = this.#asked.get(id);
    if (asked !== undefined) clearTimeout(asked.timer);
    this.#asked.delete(id);
    return asked;
  }

  #frame(frame: Server): void {
    this.#heardAt = Date.now();
    if ('batch' in frame) {
      for (const item of frame.batch) {
        const room = this.#rooms.get(item.room);
        if (room === undefined) continue;
        if ('presence' in item) room.presence(item.presence);
        else if (room.inside && !room.update(item)) return this.#lost(LOST);
      }
    } else if ('ok' in frame) {
      if (this.#link?.speaks === false) {
        const room = this.#rooms.get(this.#streamed[frame.id] ?? '');
        if (room !== undefined) this.#entered(room, frame.ok as Subscribed);
      } else {
        this.#answered(frame.id)?.done(frame.ok);
      }
    } else if ('error' in frame) {
      const { code, message } = frame.error;
      // One without an id is about a frame that was not looked at, for which its asker will not wait for long.
      if (frame.id === null) return;
      if (this.#link?.speaks === false) {
        const room = this.#rooms.get(this.#streamed[frame.id] ?? '');
        if (room !== undefined) this.#notEntered(room, code);
      } else {
        this.#answered(frame.id)?.failed(new RealtimeError(code, message));
      }
    } else if (frame.op === 'drain') {
      this.#away = frame.reconnect_after_ms;
    }
  }

  /** Looks whether the other side lives. */
  #listen(): void {
    const { silence, upgrade } = this.#timing;
    const now = Date.now();
    if (now - this.#heardAt > silence * 1.5) {
      this.#lost(LOST);
    } else if (this.#link?.speaks === true) {
      if (now - this.#heardAt > silence) this.#link.send({ op: 'ping' });
    } else if (now - this.#openedAt > upgrade) {
      this.#drop();
      void this.#connect();
    }
  }

  /** The network or the page has changed. */
  #changed(): void {
    if (!this.#environment.online) {
      // A connection would be found out to be dead much later.
      if (this.#status === 'open' || this.#status === 'connecting') this.#lost(LOST);
      clearTimeout(this.#waiting);
      this.#waiting = undefined;
    } else if (this.#status === 'waiting' && this.#environment.visible) {
      // Who is told to stay away does; nobody else has a reason to wait any longer.
      if (this.#away === undefined || this.#waiting === undefined) void this.#connect();
    } else if (this.#status === 'open' && this.#environment.visible) {
      this.#listen();
    }
  }

  /** The connection, or the attempt at one, has ended. */
  #lost(code: number): void {
    const lasted = this.#status === 'open' && Date.now() - this.#openedAt >= this.#timing.stable;
    this.#failures = lasted ? 1 : this.#failures + 1;
    this.#drop();
    if (code === SESSION_ENDED || MISUNDERSTOOD.includes(code)) return this.#end();
    if (this.#rooms.size === 0) return this.#set('idle');
    this.#set('waiting');
    // Who is offline waits for a network; a page that nobody looks at waits for somebody.
    if (!this.#environment.online || !this.#environment.visible) return;
    const { backoff } = this.#timing;
    const random = (this.#options.random ?? Math.random)();
    let wait = delay(backoff, this.#failures, random);
    if (code === DRAIN && this.#away !== undefined) wait = this.#away;
    if (code === LIMITS) wait += backoff.most / 2;
    this.#waiting = setTimeout(() => void this.#connect(), wait);
  }

  /** Lets go of the connection. What was asked is not answered any more. */
  #drop(): void {
    this.#current += 1;
    this.#abort?.abort();
    this.#link?.close();
    this.#link = undefined;
    clearInterval(this.#beat);
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    for (const room of this.#rooms.values()) room.inside = false;
    for (const id of [...this.#asked.keys()]) {
      this.#answered(id)?.failed(new RealtimeError('not_connected', 'the connection was lost'));
    }
  }

  #end(): void {
    this.#drop();
    this.#unwatch();
    this.#rooms.clear();
    this.#set('closed');
  }

  #set(status: Status): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#options.status?.(status);
  }
}
