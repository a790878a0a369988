// The browser's client of Pitchey's realtime protocol.

export { Realtime, RealtimeError } from './client.js';
export type { Options, Status, Timing } from './client.js';
export type { Environment } from './environment.js';
export type { Listener } from './rooms.js';
export type * from './protocol.js';
