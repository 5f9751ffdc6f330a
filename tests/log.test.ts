// The log's sampler: the first line at once, then one line an interval, and no count is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sampled } from '../host/log.ts';

const INTERVAL_MS = 200;

test('the first of a kind is written at once, the others as a count with the last of them', async () => {
  const lines: object[] = [];
  const sampler = sampled(fields => void lines.push(fields), INTERVAL_MS);
  for (let offset = 0; offset < 1000; offset++) sampler.add('poison', { offset });
  assert.deepEqual(lines, [{ offset: 0, count: 1 }]);
  sampler.add('refused', { offset: 7 }, 3);
  assert.deepEqual(lines.slice(1), [{ offset: 7, count: 3 }], 'another kind has lines of its own');
  await sleep(1.5 * INTERVAL_MS);
  assert.deepEqual(lines.slice(2), [{ offset: 999, count: 999 }]);
  await sleep(INTERVAL_MS); // Quiet: nothing is written, and the next is the first of its kind again.
  sampler.add('poison', { offset: 1000 });
  assert.deepEqual(lines.slice(3), [{ offset: 1000, count: 1 }]);
  sampler.flush();
});

test('what is counted is written at the end', async () => {
  const lines: object[] = [];
  const sampler = sampled(fields => void lines.push(fields), INTERVAL_MS);
  sampler.add('poison', { offset: 0 });
  sampler.add('poison', { offset: 1 }, 5);
  sampler.flush();
  sampler.flush();
  await sleep(2 * INTERVAL_MS);
  assert.deepEqual(lines, [
    { offset: 0, count: 1 },
    { offset: 1, count: 5 },
  ]);
});
