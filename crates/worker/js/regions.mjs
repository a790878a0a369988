// Databases near readers: sockets to them, and where a reader is.

import { connect } from "cloudflare:sockets";

let bindings = {};
let placed = false;

// What an environment has of it.
export function bindRegions(env) {
  bindings = env;
  placed = typeof env.REGIONS === "string" && env.REGIONS !== "";
}

// As whom a binding of Hyperdrive leads to which database.
export function hyperdrive(name) {
  const binding = bindings[name];
  if (typeof binding?.connect !== "function") return undefined;
  return [binding.user, binding.password, binding.database];
}

// Where the platform says that a reader is, as fields before those of the request: of two the first counts.
export function place(cf) {
  if (!placed || cf?.latitude === undefined || cf?.longitude === undefined) return "";
  return `cf-iplatitude\n${Number(cf.latitude)}\ncf-iplongitude\n${Number(cf.longitude)}\n`;
}

const ignored = () => {};

// A connection, which belongs to the request that opens it.
export class Socket {
  #socket;
  #reader;
  #writer;

  constructor(binding, host, port) {
    this.#socket = binding === "" ? connect({ hostname: host, port }) : bindings[binding].connect();
    // Who reads or writes is told, too.
    this.#socket.opened.catch(ignored);
    this.#socket.closed.catch(ignored);
    this.#reader = this.#socket.readable.getReader();
    this.#reader.closed.catch(ignored);
    this.#writer = this.#socket.writable.getWriter();
    this.#writer.closed.catch(ignored);
    this.#writer.ready.catch(ignored);
  }

  async read() {
    const { done, value } = await this.#reader.read();
    return done ? undefined : value;
  }

  write(bytes) {
    return this.#writer.write(bytes);
  }

  close() {
    this.#socket.close().catch(ignored);
  }
}
