// What the module asks of JavaScript. Fields go over in one text, a line for each name and each value: no
// name and no value has a line break in it.

export function flattened(headers) {
  let text = "";
  for (const [name, value] of headers) text += `${name}\n${value}\n`;
  return text;
}

// The variables of an environment, beside its bindings, as JSON.
export function variables(env) {
  const strings = Object.entries(env).filter(([, value]) => typeof value === "string");
  return JSON.stringify(Object.fromEntries(strings));
}

// As the constructors of the platform take them with the fewest crossings: an object, unless a name comes
// more than once.
export function headers(text) {
  const lines = text.split("\n");
  const made = Object.create(null);
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const name = lines[at];
    if (name in made) return pairs(lines);
    made[name] = lines[at + 1];
  }
  return made;
}

function pairs(lines) {
  const made = [];
  for (let at = 0; at + 1 < lines.length; at += 2) made.push([lines[at], lines[at + 1]]);
  return made;
}

// A module that has panicked, or that an error has gone through, is in no state to go on. Whoever waits for
// it is told so, and the next request begins with a new one.
class Life {
  configured = false;
  ended = false;
  // How many there were before it.
  failures;
  #waiting = new Set();

  constructor(failures) {
    this.failures = failures;
  }

  // What `work` gives, or what it promises, or the end of the module that it is done by.
  guard(work) {
    let given;
    this.run(() => {
      given = work();
    });
    if (this.ended) throw new Error("the edge has failed");
    if (!(given instanceof Promise)) return given;
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      const settled = (settle) => (value) => {
        this.#waiting.delete(reject);
        settle(value);
      };
      given.then(settled(resolve), settled(reject));
    });
  }

  // Does something in the module at once.
  run(work) {
    try {
      work();
    } catch (error) {
      this.end(error);
    }
  }

  end(why) {
    if (this.ended) return;
    this.ended = true;
    console.error(`the edge begins anew: ${why}`);
    for (const reject of this.#waiting) reject(new Error("the edge has failed"));
    this.#waiting.clear();
  }
}

let life = new Life(0);

// The life of the module, and a new one if that has ended.
export function living(renew) {
  if (life.ended) {
    renew();
    life = new Life(life.failures + 1);
  }
  return life;
}

// The reason is told while there is one: what follows is a trap that says nothing.
export function panicked(message) {
  life.end(message);
}

// The module's own work goes on in microtasks, where nobody else would catch what goes wrong.
const queue = globalThis.queueMicrotask.bind(globalThis);
globalThis.queueMicrotask = (work) => {
  const own = life;
  queue(() => own.run(work));
};

// The time in which the origin's answer must begin, and which may pass between two pieces of a body.
function deadline(patience, late) {
  let timer;
  const over = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(late)), patience);
  });
  return { over, clear: () => clearTimeout(timer) };
}

class TooLarge extends Error {}

function bounded(body, limit) {
  let sent = 0;
  return body.pipeThrough(
    new TransformStream({
      transform(piece, to) {
        sent += piece.byteLength;
        if (sent > limit) throw new TooLarge("the body is too large");
        to.enqueue(piece);
      },
    }),
  );
}

// Asks the origin. Gives status, fields and body; or 0, why there is none, and what was said about it.
export async function ask(url, method, fields, body, limit, patience) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), patience);
  try {
    const response = await fetch(url, {
      method,
      headers: headers(fields),
      body: body && limit !== undefined ? bounded(body, limit) : body,
      redirect: "manual",
      signal: controller.signal,
      // What is coded stays so: it is kept and passed on as it came.
      encodeResponseBody: "manual",
      // What is kept is decided here, and not once more on the way to the origin.
      cf: { cacheTtl: -1 },
    });
    return [response.status, flattened(response.headers), response.body];
  } catch (error) {
    if (error instanceof TooLarge) return [0, "upload", String(error)];
    return [0, controller.signal.aborted ? "timeout" : "failed", String(error)];
  } finally {
    clearTimeout(timer);
  }
}

// Posts JSON, and reads an answer that is not larger than it may be. Gives status and text; or 0 and why there
// is none.
export async function post(url, authorization, body, largest, patience) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), patience);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization, "content-type": "application/json", "upstash-encoding": "base64" },
      body,
      redirect: "manual",
      signal: controller.signal,
    });
    const answer = response.body && (await new Response(bounded(response.body, largest)).text());
    return [response.status, answer ?? ""];
  } catch (error) {
    return [0, controller.signal.aborted ? "timeout" : String(error)];
  } finally {
    clearTimeout(timer);
  }
}

// The namespace of KV, if there is one.
let pages;

export function bind(env) {
  pages = env.PAGES;
}

// What `work` promises, or `instead` if it fails or takes too long.
async function within(patience, work, instead) {
  const { over, clear } = deadline(patience, "KV is slow");
  try {
    return await Promise.race([work(), over]);
  } catch (error) {
    console.error(`KV: ${error}`);
    return instead;
  } finally {
    clear();
  }
}

export function kvGet(key, patience) {
  const get = async () => {
    const value = await pages.get(key, "arrayBuffer");
    return value && new Uint8Array(value);
  };
  return within(patience, get, null);
}

export function kvList(prefix, patience) {
  const list = async () => {
    const { keys } = await pages.list({ prefix });
    return keys.map(({ name }) => name);
  };
  return within(patience, list, null);
}

export function kvPut(key, value, seconds, patience) {
  const put = async () => {
    await pages.put(key, value, { expirationTtl: seconds });
    return true;
  };
  return within(patience, put, false);
}

// The body of a response, read piece by piece.
export class Reader {
  #reader;
  #patience;

  constructor(stream, patience) {
    this.#reader = stream.getReader();
    this.#patience = patience;
  }

  // The next piece, or nothing at the end.
  async next() {
    const { over, clear } = deadline(this.#patience, "the body has stalled");
    try {
      const { done, value } = await Promise.race([this.#reader.read(), over]);
      return done ? undefined : value;
    } finally {
      clear();
    }
  }

  leave() {
    leave(this.#reader);
  }
}

// Nobody wants the rest.
export function leave(stream) {
  stream.cancel().catch(() => {});
}

export function respond(status, fields, body) {
  try {
    return new Response(body, { status, headers: headers(fields), encodeBody: "manual" });
  } catch (error) {
    return refused(error);
  }
}

// A status or a field that is none here.
function refused(error) {
  console.error(`an answer cannot be passed on: ${error}`);
  return problem(502, "Bad Gateway");
}

// An answer that will be sent again: what stays the same stays on this side.
export class Again {
  #body;
  #init;
  #fields;

  constructor(status, fields, body) {
    this.#body = body;
    this.#init = { status, headers: undefined, encodeBody: "manual" };
    this.#fields = fields;
  }

  // `fields` is what it has beside its own from now on, if that is other than before; the last one is of this
  // time alone.
  respond(fields, name, value) {
    try {
      if (fields !== undefined) this.#init.headers = new Headers(pairs((this.#fields + fields).split("\n")));
      const response = new Response(this.#body, this.#init);
      response.headers.append(name, value);
      return response;
    } catch (error) {
      return refused(error);
    }
  }
}

// An answer of the edge's own, where the module can give none.
export function problem(status, title) {
  return Response.json(
    { type: "about:blank", title, status },
    { status, headers: { "content-type": "application/problem+json", "cache-control": "no-store" } },
  );
}

// A body that comes out of the module piece by piece; `length` if that is known.
export function streamed(source, length) {
  const own = life;
  const pieces = new ReadableStream(
    {
      async pull(to) {
        if (own.ended) throw new Error("the edge has failed");
        const piece = await own.guard(() => source.pull());
        if (piece === undefined) to.close();
        else to.enqueue(piece);
      },
      cancel() {
        if (!own.ended) source.stop();
      },
    },
    { highWaterMark: 0 },
  );
  if (length === undefined) return pieces;
  const fixed = new FixedLengthStream(length);
  // Whoever reads the other end is told of an error there.
  pieces.pipeTo(fixed.writable).catch(() => {});
  return fixed.readable;
}

// A wait that can be left.
export class Wait {
  #timer;

  constructor(ms) {
    this.over = new Promise((resolve) => {
      this.#timer = setTimeout(resolve, ms);
    });
  }

  leave() {
    clearTimeout(this.#timer);
  }
}

export function random(bytes) {
  crypto.getRandomValues(bytes);
}

export function log(text) {
  console.error(text);
}
