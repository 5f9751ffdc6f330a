// Waiting for work with the session kept alive; and dead letters that are larger than their topic takes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDelivery, whileBeating } from '../../host/function/deliver.ts';
import { openMetrics } from '../../host/function/metrics.ts';
import type { Settings } from '../../host/function/settings.ts';
import type { Sink } from '../../host/sink/sink.ts';
import type { DeadLetter, Lease } from '../../host/source/source.ts';

const lease = (heartbeat = async () => {}): Lease => ({
  topic: 't',
  partition: 0,
  live: () => true,
  heartbeat,
});

async function failure(ms: number, message: string): Promise<never> {
  await sleep(ms);
  throw new Error(message);
}

// A promise that nobody listens to ends the process: node:test reports it as a failure of this file.
test('work that fails is told to the caller, and to nobody else', async () => {
  await assert.rejects(whileBeating(failure(5, 'the broker is away'), lease()), {
    message: 'the broker is away',
  });
  await sleep(20);
});

test('a heartbeat that fails ends the wait, and what the work comes to is not heard', async () => {
  const beat = lease(() => failure(0, 'a rebalance is under way'));
  await assert.rejects(whileBeating(failure(700, 'too late'), beat), { message: 'a rebalance is under way' });
  await sleep(400);
});

const TOPIC_SIZE_MAX = 1_048_588; // Kafka's default
const silent = () => {};

/** Buries a record, and gives the letters that the topic took. */
async function bury(key: Buffer | null, bytes: Buffer): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = [];
  const delivery = openDelivery({
    settings: { retryHoldMs: 100, retryMaxMs: 50, deadLetterTopic: 'd' } as Settings,
    sink: {} as Sink,
    source: {
      async produce(_topic, letter) {
        const size =
          (letter.key?.length ?? 0) + (letter.value?.length ?? 0) + JSON.stringify(letter.headers).length;
        if (size > TOPIC_SIZE_MAX) throw Object.assign(new Error('too large'), { type: 'MESSAGE_TOO_LARGE' });
        letters.push(letter);
      },
    },
    metrics: openMetrics(),
    log: { debug: silent, info: silent, warn: silent, error: silent },
  });
  const parcel = { offset: 1, key, bytes, poison: 'not a JSON object' };
  assert.deepEqual(await delivery.deliver(parcel, lease(), { failures: 0 }), { kind: 'delivered' });
  return letters;
}

test('a dead letter too large for its topic is cut, and one with too large a key goes without it', async () => {
  const [cut] = await bury(Buffer.from('key'), Buffer.alloc(2_000_000, 0x78));
  assert.deepEqual([cut!.key, cut!.value!.length], [null, 512 * 1024]);
  assert.match(cut!.headers['earshot.error']!, /cut from 2000000 bytes/);
  const [keyless] = await bury(Buffer.alloc(1_048_500), Buffer.from('x'));
  assert.deepEqual([keyless!.key, String(keyless!.value)], [null, 'x']);
  assert.match(keyless!.headers['earshot.error']!, /without its key of 1048500 bytes/);
});
