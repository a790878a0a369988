// What a room does with what a server should never send.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Room } from '../src/rooms.js';

const update = (offset: number) => ({ room: 'lists', offset, at: 0, data: offset });

function entered(): { room: Room; told: unknown[] } {
  const room = new Room('lists');
  const told: unknown[] = [];
  room.listeners.add({ update: ({ data }) => told.push(data), reload: () => told.push('reload') });
  room.entered({ epoch: 'e', offset: 3, recovered: false, updates: [] });
  return { room, told };
}

test('an update that is known is not told again, and one that is not the next is a gap', () => {
  const { room, told } = entered();
  assert.deepEqual([4, 4, 3, 5].map((offset) => room.update(update(offset))), [true, true, true, true]);
  assert.equal(room.update(update(7)), false);
  assert.deepEqual(told, [4, 5]);
  assert.deepEqual(room.position, { epoch: 'e', offset: 5 });
});

test('only who has seen something has something to load anew', () => {
  const { room, told } = entered();
  assert.deepEqual(told, []);
  room.entered({ epoch: 'e', offset: 5, recovered: true, updates: [update(4), update(5)] });
  assert.deepEqual(told, [4, 5]);
  room.entered({ epoch: 'f', offset: 1, recovered: false, updates: [] });
  assert.deepEqual(told, [4, 5, 'reload']);
  assert.deepEqual(room.position, { epoch: 'f', offset: 1 });
});

test("a listener's fault is none of the others', and is not hidden", (t) => {
  const { room, told } = entered();
  const faults: unknown[] = [];
  t.mock.method(globalThis, 'queueMicrotask', (later: () => void) => {
    try {
      later();
    } catch (fault) {
      faults.push(fault);
    }
  });
  const fault = new Error('not me');
  const late: unknown[] = [];
  room.listeners.add({
    update: () => {
      throw fault;
    },
  });
  room.listeners.add({ update: ({ data }) => late.push(data) });
  room.update(update(4));
  assert.deepEqual([told, late, faults], [[4], [4], [fault]]);
});
