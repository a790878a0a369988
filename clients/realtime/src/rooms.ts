// What is known of the rooms that somebody on this page listens to.

import type { Position, PresenceChange, Present, Subscribed, Update } from './protocol.js';

/** Who listens to a room. */
export interface Listener {
  /** Every update, once and in order. */
  update(update: Update): void;
  /** What was missed is not known: what is shown has to be loaded anew. */
  reload?(): void;
  /** Who is there, and how that changes. Without this, it is not asked for. */
  presence?(presence: Present | PresenceChange['presence']): void;
  /** One may not be in this room; nothing follows. */
  refused?(code: string): void;
}

export class Room {
  readonly name: string;
  readonly listeners = new Set<Listener>();
  /** The newest update that was told. */
  position: Position | undefined;
  inside = false;

  constructor(name: string) {
    this.name = name;
  }

  /** Whether the room is about one thing, and a ticket has to name it. */
  get isNamed(): boolean {
    return this.name.startsWith('pitch:') || this.name.startsWith('nda:');
  }

  get wantsPresence(): boolean {
    return [...this.listeners].some((listener) => listener.presence !== undefined);
  }

  /** The room was entered. */
  entered({ epoch, offset, recovered, updates }: Subscribed): void {
    this.inside = true;
    const { position } = this;
    if (position !== undefined && recovered) {
      for (const update of updates) this.update(update);
      this.position = { epoch, offset };
      return;
    }
    this.position = { epoch, offset };
    if (position !== undefined) this.#tell((listener) => listener.reload?.());
  }

  /** Whether the update was the next one or is known already; otherwise something is missing. */
  update(update: Update): boolean {
    const { position } = this;
    if (position === undefined || update.offset > position.offset + 1) return false;
    if (update.offset === position.offset + 1) {
      this.position = { epoch: position.epoch, offset: update.offset };
      this.#tell((listener) => listener.update(update));
    }
    return true;
  }

  presence(presence: Present | PresenceChange['presence']): void {
    this.#tell((listener) => listener.presence?.(presence));
  }

  refused(code: string): void {
    this.#tell((listener) => listener.refused?.(code));
  }

  /** One listener's fault is none of the others'. */
  #tell(how: (listener: Listener) => void): void {
    for (const listener of [...this.listeners]) {
      try {
        how(listener);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
