// Waiting for work with the session kept alive, the pauses between retries, and dead letters: which rules they name, how
// they are cut, and how many go together.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDelivery, whileBeating } from '../../host/function/deliver.ts';
import type { Parcel } from '../../host/function/deliver.ts';
import { openMetrics } from '../../host/function/metrics.ts';
import type { Settings } from '../../host/function/settings.ts';
import type { Fate, Sink } from '../../host/sink/sink.ts';
import type { Letter, Lease } from '../../host/source/source.ts';
import { bodyOf } from '../sink/body.ts';

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

interface LogLine {
  level: string;
  fields: Record<string, unknown>;
  message: string;
}

interface Staged {
  /** What the sink answers, one after the other; then it accepts. */
  fates?: Fate[];
  settings?: Partial<Settings>;
}

/** A delivery with a sink and a topic of its own. The topic refuses what Kafka would refuse. */
function stage({ fates = [], settings = {} }: Staged = {}) {
  const requests: Letter[][] = [];
  const lines: LogLine[] = [];
  const bodies: Uint8Array[] = [];
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields: fields as Record<string, unknown>, message });
  const delivery = openDelivery({
    settings: { retryHoldMs: 100, retryMaxMs: 50, deadLetterTopic: 'd', ...settings } as Settings,
    sink: {
      async send(body) {
        bodies.push(body);
        return fates.shift() ?? { kind: 'accepted' };
      },
      async close() {},
    },
    source: {
      async produce(_topic, letters) {
        if (sizeOf(letters) > TOPIC_SIZE_MAX)
          throw Object.assign(new Error('too large'), { type: 'MESSAGE_TOO_LARGE' });
        requests.push(letters);
      },
    },
    metrics: openMetrics(),
    log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    random: () => 1,
  });
  return { delivery, requests, lines, bodies, letters: () => requests.flat() };
}

function sizeOf(letters: Letter[]): number {
  const size = ({ key, value, headers }: Letter) =>
    (key?.length ?? 0) + (value?.length ?? 0) + JSON.stringify(headers).length;
  return letters.reduce((sum, letter) => sum + size(letter), 0);
}

function poison(offset: number, bytes: Buffer, key: Buffer | null = null): Parcel {
  return { offset, key, bytes, poison: 'not a JSON object' };
}

async function bury(...parcels: Parcel[]): Promise<ReturnType<typeof stage>> {
  const staged = stage();
  assert.deepEqual(await staged.delivery.bury(parcels, lease(), { failures: 0 }), { kind: 'delivered' });
  return staged;
}

test('a dead letter too large for its topic is cut, and one with too large a key goes without it', async () => {
  const text = Buffer.alloc(2_000_000, 0x78);
  text.write('the beginning');
  const [cut] = (await bury(poison(1, text, Buffer.from('key')))).letters();
  assert.deepEqual([cut!.key, cut!.value!.length], [null, 512 * 1024]);
  assert.ok(Buffer.from(cut!.value!).equals(text.subarray(0, 512 * 1024)), 'it keeps the beginning');
  assert.match(cut!.headers['earshot.error']!, /cut from 2000000 bytes/);
  const [keyless] = (await bury(poison(1, Buffer.from('x'), Buffer.alloc(1_048_500)))).letters();
  assert.deepEqual([keyless!.key, String(keyless!.value)], [null, 'x']);
  assert.match(keyless!.headers['earshot.error']!, /without its key of 1048500 bytes/);
});

test('poison records go together, in their order, in requests that Kafka takes', async () => {
  const parcels = Array.from({ length: 1200 }, (_, offset) =>
    poison(offset, Buffer.from(`no JSON ${offset}`)),
  );
  parcels[3] = poison(3, Buffer.alloc(900_000)); // Alone in its request: with others it would be too large.
  parcels[4] = poison(4, Buffer.alloc(400_000));
  parcels[5] = poison(5, Buffer.alloc(400_000));
  const { requests, letters, lines, delivery } = await bury(...parcels);
  assert.deepEqual(
    letters().map(({ headers }) => Number(headers['earshot.offset'])),
    parcels.map(({ offset }) => offset),
  );
  assert.ok(requests.length <= 8, `${requests.length} requests`);
  delivery.close();
  const buried = lines.filter(({ message }) => message === 'put in the dead-letter topic');
  assert.ok(buried.length <= 2, `${buried.length} lines`);
  assert.equal(
    buried.reduce((sum, { fields }) => sum + Number(fields.count), 0),
    1200,
  );
});

test('letters that are together too large for their topic go in halves', async () => {
  // Their headers are larger than is reckoned with.
  const parcels = Array.from({ length: 300 }, (_, offset) => ({
    ...poison(offset, Buffer.alloc(100)),
    poison: 'x'.repeat(6000),
  }));
  const { letters, requests } = await bury(...parcels);
  assert.equal(letters().length, 300);
  assert.ok(requests.length > 1);
});

test('a dead letter names the rules that the sink refused, and no others', async () => {
  const body = JSON.parse(bodyOf(1, 3).toString());
  body.alerts.forEach(
    (alert: { labels: { alertname: string } }, i: number) => (alert.labels.alertname = `Rule ${i}`),
  );
  const refused: Fate = { kind: 'refused', error: '400 no' };
  // All three, then the first two, then one by one: the second is the one that is refused.
  const { delivery, letters } = stage({ fates: [refused, refused, { kind: 'accepted' }, refused] });
  const parcel = { offset: 1, key: null, bytes: Buffer.from(JSON.stringify(body)) };
  assert.deepEqual(await delivery.deliver(parcel, lease(), { failures: 0 }), {
    kind: 'delivered',
    fate: 'buried',
  });
  assert.deepEqual(
    letters().map(({ headers, value }) => [
      headers['earshot.rule'],
      JSON.parse(String(Buffer.from(value!))).alerts[0].labels.alertname,
    ]),
    [['Rule 1', 'Rule 1']],
  );
});

const away: Fate = { kind: 'retry', error: '503' };
const waitsOf = (lines: LogLine[]) =>
  lines.flatMap(({ fields }) => (fields.waitMs as number | undefined) ?? []);

test('the pauses grow with the failures in a row, and start over after a success', async () => {
  const accepted: Fate = { kind: 'accepted' };
  const { delivery, lines } = stage({
    fates: [away, away, accepted, away, accepted],
    settings: { retryHoldMs: 10_000, retryMaxMs: 10_000 },
  });
  const streak = { failures: 0 };
  const parcel = { offset: 1, key: null, bytes: bodyOf(1) };
  for (let i = 0; i < 2; i++)
    assert.deepEqual(await delivery.deliver(parcel, lease(), streak), {
      kind: 'delivered',
      fate: 'accepted',
    });
  assert.deepEqual(waitsOf(lines), [200, 400, 200]);
});

test('the pauses go on growing over the alerts that are held', async () => {
  const { delivery, lines } = stage({
    fates: [away, away, away],
    settings: { retryHoldMs: 0, retryMaxMs: 600 },
  });
  const streak = { failures: 0 };
  const parcel = { offset: 1, key: null, bytes: bodyOf(1) };
  for (const pauseMs of [200, 400, 600])
    assert.deepEqual(await delivery.deliver(parcel, lease(), streak), { kind: 'held', pauseMs });
  assert.deepEqual(waitsOf(lines), [200, 400, 600]);
});

test('a sink that names a time to come back gets no post before', async () => {
  const { delivery, bodies } = stage({
    fates: [{ ...away, retryAfterMs: 900 }],
    settings: { retryHoldMs: 10_000 },
  });
  const startedAt = performance.now();
  const parcel = { offset: 1, key: null, bytes: bodyOf(1) };
  assert.deepEqual(await delivery.deliver(parcel, lease(), { failures: 0 }), {
    kind: 'delivered',
    fate: 'accepted',
  });
  assert.equal(bodies.length, 2);
  assert.ok(performance.now() - startedAt >= 899, `${performance.now() - startedAt} ms`);
});

test('a post that has no connection yet is withdrawn when the lease ends', async () => {
  let isLive = true;
  const waiting: Sink = {
    send: (_body, unwanted) =>
      new Promise(resolve => unwanted!.addEventListener('abort', () => resolve(away))),
    async close() {},
  };
  const withdrawn = openDelivery({
    settings: { retryHoldMs: 10_000, retryMaxMs: 50 } as Settings,
    sink: waiting,
    source: { produce: async () => {} },
    metrics: openMetrics(),
    log: { debug: assert.fail, info: assert.fail, warn: assert.fail, error: assert.fail },
  });
  setTimeout(() => (isLive = false), 50);
  const parcel = { offset: 1, key: null, bytes: bodyOf(1) };
  const ending = { ...lease(), live: () => isLive };
  assert.deepEqual(await withdrawn.deliver(parcel, ending, { failures: 0 }), { kind: 'held', pauseMs: 0 });
});
