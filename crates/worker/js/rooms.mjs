// The rooms on Workers: the way from a request to the object that has the connections, and that object. What
// is decided is decided in the module.

import * as edge from "./pitchey_worker.js";
import { flattened, headers, living, problem, variables } from "./glue.js";

// All rooms of a site are in one object.
const NAME = "rooms";

// How long the object, or the hub, may take until its answer begins.
const PATIENCE_MS = 10_000;

// As much may wait for one who only listens, in bytes.
const WAITING = 1 << 20;

// Who only listens is sent a comment from time to time, so that a connection that is gone is found to be.
const BEAT_MS = 25_000;
const BEAT = new TextEncoder().encode(": ping\n\n");

const PROTOCOL = { "sec-websocket-protocol": "pitchey.v1" };
const DRAIN = [1001, "drain"];

const OURS = /^https?:\/\/[^/?#]*\/(?:ws|sse|publish)(?:\?|$)/;

export function isOfRooms(url) {
  return OURS.test(url);
}

// The answer to a request for rooms, or nothing if there are none here.
export function atTheDoor(life, request, env) {
  const { method, url } = request;
  const admitted = life.guard(() => edge.admit(method, url, flattened(request.headers)));
  if (!Array.isArray(admitted)) return admitted;
  const [word, more, fields] = admitted;
  switch (word) {
    case "closed":
      return closed(4001, "bad_ticket");
    case "hub":
      return within(fetch(more, { headers: headers(fields), redirect: "manual" }));
    case "publish":
      return within(object(env).fetch("https://rooms/publish", { method: "POST", body: request.body }));
    case "ws":
      return within(object(env).fetch("https://rooms/ws", { headers: { upgrade: "websocket", guest: more } }));
    default:
      return within(object(env).fetch("https://rooms/sse", { headers: { guest: more } }));
  }
}

function object(env) {
  return env.ROOMS.get(env.ROOMS.idFromName(NAME));
}

async function within(asking) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the rooms do not answer")), PATIENCE_MS);
  });
  try {
    return await Promise.race([asking, late]);
  } catch (error) {
    console.error(String(error));
    const response = problem(503, "Service Unavailable");
    response.headers.set("retry-after", "1");
    return response;
  } finally {
    clearTimeout(timer);
  }
}

// A connection that ends at once, for its code to be read.
function closed(code, reason) {
  const [client, server] = Object.values(new WebSocketPair());
  server.accept();
  server.close(code, reason);
  return new Response(null, { status: 101, webSocket: client, headers: PROTOCOL });
}

// The connections of an object, by their numbers.
class House {
  #storage;
  #text = new TextEncoder();
  sockets = new Map();
  streams = new Map();

  constructor(storage) {
    this.#storage = storage;
  }

  send(ids, frame) {
    for (const id of ids) {
      try {
        this.sockets.get(id)?.send(frame);
      } catch {
        // It has ended, which is told by itself.
      }
    }
  }

  event(id, event) {
    const stream = this.streams.get(id);
    const bytes = this.#text.encode(event);
    if (stream === undefined) return true;
    if (stream.desiredSize < bytes.byteLength) return false;
    stream.enqueue(bytes);
    return true;
  }

  shut(id, code, reason, event) {
    const stream = this.streams.get(id);
    if (stream !== undefined) {
      this.streams.delete(id);
      stream.enqueue(this.#text.encode(event));
      stream.close();
      return;
    }
    const socket = this.sockets.get(id);
    this.sockets.delete(id);
    if (socket !== undefined) shut(socket, code, reason);
  }

  keep(id, attachment) {
    this.sockets.get(id)?.serializeAttachment(attachment);
  }

  wakeAt(at) {
    // Nothing waits for it, and what goes wrong with the storage ends the object.
    this.#storage.setAlarm(at).catch((error) => console.error(String(error)));
  }
}

function shut(socket, code, reason) {
  // It is no connection of ours any more, should the object sleep before the client has answered.
  socket.serializeAttachment(null);
  try {
    // A close without a code is answered by one.
    if (code === 1005) socket.close();
    else socket.close(code, reason);
  } catch {
    // It has ended.
  }
}

// The object. The platform may take its memory while nothing happens, and gives it a new one when something
// does; the connections stay.
export class Rooms {
  #state;
  #variables;
  #house;
  #hall;
  #life;
  #timer;
  #beat;

  constructor(state, env) {
    this.#state = state;
    this.#variables = variables(env);
    // What is asked most is answered without waking anybody.
    state.setWebSocketAutoResponse(new WebSocketRequestResponsePair('{"op":"ping"}', '{"op":"pong"}'));
  }

  async fetch(request) {
    const guest = request.headers.get("guest");
    switch (new URL(request.url).pathname) {
      case "/publish": {
        const body = await request.text();
        return this.#with((hall) => hall.publish(body));
      }
      case "/ws":
        return this.#socket(guest);
      default:
        return this.#stream(guest);
    }
  }

  webSocketMessage(socket, message) {
    const id = this.#number(socket);
    this.#with((hall) => (typeof message === "string" ? hall.frame(id, message) : hall.binary(id)));
  }

  webSocketClose(socket, code, reason) {
    this.#gone(socket);
    shut(socket, code, reason);
  }

  webSocketError(socket) {
    this.#gone(socket);
  }

  alarm() {
    this.#with((hall) => hall.sweep());
  }

  #socket(guest) {
    const id = this.#with((hall) => hall.enter(guest));
    if (id === null) return closed(4001, "bad_ticket");
    if (typeof id !== "number") return id;
    const [client, server] = Object.values(new WebSocketPair());
    this.#state.acceptWebSocket(server, [String(id)]);
    this.#house.sockets.set(id, server);
    this.#with((hall) => hall.keep(id));
    return new Response(null, { status: 101, webSocket: client, headers: PROTOCOL });
  }

  #stream(guest) {
    const id = this.#with((hall) => hall.enter(guest));
    if (typeof id !== "number") return id;
    const house = this.#house;
    const events = new ReadableStream(
      {
        start(stream) {
          house.streams.set(id, stream);
        },
        cancel: () => {
          if (house.streams.delete(id)) this.#with((hall) => hall.gone(id));
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: WAITING }),
    );
    this.#with((hall) => hall.listen(id));
    this.#beat ??= setInterval(() => this.#pulse(), BEAT_MS);
    const fields = { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" };
    return new Response(events, { headers: fields });
  }

  #pulse() {
    const { streams } = this.#house;
    for (const stream of streams.values()) {
      if (stream.desiredSize >= BEAT.byteLength) stream.enqueue(BEAT);
    }
    if (streams.size === 0) {
      clearInterval(this.#beat);
      this.#beat = undefined;
    }
  }

  #number(socket) {
    return Number(this.#state.getTags(socket)[0]);
  }

  #gone(socket) {
    const id = this.#number(socket);
    if (this.#house?.sockets.delete(id) ?? true) this.#with((hall) => hall.gone(id));
  }

  // Does something in the module, and has it go on when something is due.
  #with(work) {
    const life = living(edge.__wbg_reset_state);
    if (life !== this.#life) this.#begin(life);
    let given;
    life.run(() => {
      given = work(this.#hall);
      const due = this.#hall.due();
      clearTimeout(this.#timer);
      this.#timer = due === undefined ? undefined : setTimeout(() => this.#with((hall) => hall.tick()), due);
    });
    if (life.ended) {
      // Nobody knows what was sent and what was not: all are to connect again, and to recover.
      this.#begin(living(edge.__wbg_reset_state), true);
      throw new Error("the rooms have failed");
    }
    return given;
  }

  // Begins with what is stored, and with the connections that are there: after sleep, or when the module was
  // lost. If something waited to be sent then, they cannot go on.
  #begin(life, failed = false) {
    const torn = failed || this.#timer !== undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const lost = this.#house?.streams.values() ?? [];
    for (const stream of lost) stream.error(new Error("the rooms have failed"));
    this.#life = undefined;
    const { storage } = this.#state;
    this.#house = new House(storage);
    try {
      this.#hall = new edge.Hall(this.#house, storage.sql, this.#variables);
      for (const socket of this.#state.getWebSockets()) this.#outlived(socket, torn);
      this.#hall.restore();
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) life.end(error);
      throw error;
    }
    this.#life = life;
  }

  #outlived(socket, torn) {
    const attachment = socket.deserializeAttachment();
    if (typeof attachment !== "string") return;
    if (torn) {
      shut(socket, ...DRAIN);
      return;
    }
    const id = this.#number(socket);
    this.#house.sockets.set(id, socket);
    this.#hall.outlived(id, attachment);
  }
}
