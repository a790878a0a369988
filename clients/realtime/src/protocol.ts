// The frames of the protocol `pitchey.v1`, generated from crates/realtime/src/schema.json:
// `npm run types` renews them.

/**
 * Frames of Pitchey's realtime protocol, version 1. Each is one text message.
 */
export type Frame = Client | Server;
export type Client = Subscribe | Unsubscribe | Publish | Presence | Ping;
export type Id = number;
export type Room = string;
export type Epoch = string;
export type Offset = number;
export type Server = Answer | Error | Batch | Pong | Drain;

export interface Subscribe {
  id: Id;
  op: 'subscribe';
  room: Room;
  since?: Position;
}
export interface Position {
  epoch: Epoch;
  offset: Offset;
}
export interface Unsubscribe {
  id: Id;
  op: 'unsubscribe';
  room: Room;
}
export interface Publish {
  id: Id;
  op: 'publish';
  room: Room;
  data: unknown;
}
export interface Presence {
  id: Id;
  op: 'presence';
  room: Room;
}
export interface Ping {
  op: 'ping';
}
export interface Answer {
  id: Id;
  ok: Subscribed | Position | Present | Done;
}
export interface Subscribed {
  epoch: Epoch;
  offset: Offset;
  recovered: boolean;
  updates: Update[];
  degraded?: true;
}
export interface Update {
  room: Room;
  offset: Offset;
  /**
   * Milliseconds since 1970
   */
  at: number;
  data: unknown;
}
export interface Present {
  count: number;
  members?: string[];
}
export interface Done {}
export interface Error {
  id: Id | null;
  error: {
    code:
      | 'unknown_op'
      | 'unknown_field'
      | 'repeated_field'
      | 'missing_field'
      | 'wrong_type'
      | 'bad_room'
      | 'forbidden'
      | 'already_subscribed'
      | 'not_subscribed'
      | 'too_many_rooms'
      | 'too_large'
      | 'rate_limited'
      | 'unavailable';
    message: string;
  };
}
export interface Batch {
  batch: (Update | PresenceChange)[];
}
export interface PresenceChange {
  room: Room;
  presence: {
    count: number;
    joined?: string[];
    left?: string[];
  };
}
export interface Pong {
  op: 'pong';
}
export interface Drain {
  op: 'drain';
  reconnect_after_ms: number;
}
