// One connection, by WebSocket or, for those who may have none, by server-sent events through `fetch`.

import type { Client, Server } from './protocol.js';

/** What is told of a connection. After `closed`, nothing is. */
export interface Told {
  open(): void;
  frame(frame: Server): void;
  /** Something came that is no frame: the other side lives. */
  heard(): void;
  /** The code of the close; 1006 if there was none. */
  closed(code: number): void;
}

export interface Link {
  /** Whether anything can be said. */
  readonly speaks: boolean;
  send(frame: Client): void;
  /** Nothing is told after this. */
  close(): void;
}

/** The part of the browser's `WebSocket` that is used. */
export type WebSocketLike = Pick<WebSocket, 'send' | 'close' | 'addEventListener'>;
export type WebSocketType = new (url: string, protocols: string[]) => WebSocketLike;

const SUBPROTOCOL = 'pitchey.v1';
const ABNORMAL = 1006;
const BAD_TICKET = 4001;

/** The longest event that is read, in characters. */
const MAX_EVENT = 8 << 20;

export function openSocket(
  type: WebSocketType,
  base: string,
  ticket: string,
  told: Told,
): Link {
  const socket = new type(`${base.replace(/^http/, 'ws')}/ws`, [SUBPROTOCOL, `ticket.${ticket}`]);
  let over = false;
  const end = (code: number) => {
    if (!over) {
      over = true;
      told.closed(code);
    }
  };
  socket.addEventListener('open', () => {
    if (!over) told.open();
  });
  socket.addEventListener('message', (event: MessageEvent) => {
    if (!over) told.frame(JSON.parse(String(event.data)) as Server);
  });
  socket.addEventListener('close', (event: CloseEvent) => end(event.code));
  // Why is not told; the close follows.
  socket.addEventListener('error', () => {});
  return {
    speaks: true,
    send: (frame) => socket.send(JSON.stringify(frame)),
    close: () => {
      over = true;
      socket.close();
    },
  };
}

/** `last` names where the rooms stand, as the `id` of an event does. */
export function openStream(
  fetch: typeof globalThis.fetch,
  base: string,
  ticket: string,
  rooms: readonly string[],
  last: string,
  told: Told,
): Link {
  const abort = new AbortController();
  let over = false;
  const end = (code: number) => {
    if (!over) {
      over = true;
      told.closed(code);
    }
  };
  const read = async (): Promise<number> => {
    const headers: Record<string, string> = { authorization: `Bearer ${ticket}` };
    if (last !== '') headers['last-event-id'] = last;
    const { signal } = abort;
    const url = `${base}/sse?rooms=${rooms.join(',')}`;
    const response = await fetch(url, { headers, signal, cache: 'no-store' });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      return response.status === 401 ? BAD_TICKET : ABNORMAL;
    }
    if (over) return ABNORMAL;
    told.open();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done || over) return ABNORMAL;
      text += value;
      if (text.length > MAX_EVENT) return ABNORMAL;
      told.heard();
      const events = text.split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) {
        const code = tell(event, told);
        if (code !== undefined) return code;
        if (over) return ABNORMAL;
      }
    }
  };
  read().then(end, () => end(ABNORMAL)).finally(() => abort.abort());
  return {
    speaks: false,
    send: () => {
      throw new Error('server-sent events go one way');
    },
    close: () => {
      over = true;
      abort.abort();
    },
  };
}

/** Tells one event; the code, if it is the last. */
function tell(event: string, told: Told): number | undefined {
  let type = 'message';
  let data = '';
  for (const line of event.split('\n')) {
    if (line.startsWith('event: ')) type = line.slice(7);
    else if (line.startsWith('data: ')) data += line.slice(6);
  }
  if (data === '') return undefined;
  if (type === 'close') return (JSON.parse(data) as { code: number }).code;
  told.frame(JSON.parse(data) as Server);
  return undefined;
}
