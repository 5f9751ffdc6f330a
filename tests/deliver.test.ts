// Waiting for work with the session kept alive.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { whileBeating } from '../host/deliver.ts';
import type { Lease } from '../host/source/source.ts';

const lease = (heartbeat = async () => {}): Lease => ({ topic: 't', partition: 0, live: () => true, heartbeat });

async function failure(ms: number, message: string): Promise<never> {
  await sleep(ms);
  throw new Error(message);
}

// A promise that nobody listens to ends the process: node:test reports it as a failure of this file.
test('work that fails is told to the caller, and to nobody else', async () => {
  await assert.rejects(whileBeating(failure(5, 'the broker is away'), lease()), { message: 'the broker is away' });
  await sleep(20);
});

test('a heartbeat that fails ends the wait, and what the work comes to is not heard', async () => {
  const beat = lease(() => failure(0, 'a rebalance is under way'));
  await assert.rejects(whileBeating(failure(700, 'too late'), beat), { message: 'a rebalance is under way' });
  await sleep(400);
});
