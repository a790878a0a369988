import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delay } from '../src/backoff.js';

test('the bound doubles up to the largest, and chance takes any part of it', () => {
  const backoff = { first: 500, most: 30_000 };
  const bounds = [1, 2, 3, 7, 8, 1000].map((failures) => delay(backoff, failures, 1 - 2 ** -30));
  assert.deepEqual(bounds, [499, 999, 1999, 29_999, 29_999, 29_999]);
  assert.equal(delay(backoff, 5, 0), 0);
  assert.equal(delay(backoff, 3, 0.5), 1000);
  assert.equal(delay(backoff, 0, 0.5), 250);
});
