// Counting without Kafka: what a refused body leaves behind, and what comes again.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { openMetrics } from '../../host/function/metrics.ts';
import type { Delivery, Parcel } from '../../host/function/deliver.ts';
import { openTally } from '../../host/function/tally.ts';
import { loadModule } from '../../host/matcher.ts';
import type { Lease } from '../../host/source/source.ts';
import { alertRecords, hitsOf } from './door.ts';
import { range } from './harness.ts';
import { buildModule, buildModuleOf, modulePath, withMatcher } from './module.ts';

const silent = () => {};
const log = { debug: silent, info: silent, warn: silent, error: silent };
const lease: Lease = { topic: 'POST /hits', partition: 0, live: () => true, heartbeat: async () => {} };
const HELD = { kind: 'held', pauseMs: 1 } as const;

interface Told {
  status: string;
  labels: { id: string };
  annotations: { count: string };
}

/** A tally whose sink refuses when `refuses` says so. */
async function open(
  path: string,
  refuses: () => boolean,
  now = Date.now,
  load = loadModule,
  buried: string[] = [],
) {
  const told: Told[] = [];
  const delivery: Pick<Delivery, 'deliver' | 'bury'> = {
    async deliver({ bytes }) {
      await Promise.resolve();
      if (refuses()) return HELD;
      told.push(...(JSON.parse(Buffer.from(bytes).toString()) as { alerts: Told[] }).alerts);
      return { kind: 'delivered', fate: 'accepted' };
    },
    async bury(parcels) {
      buried.push(...parcels.map(({ poison }) => poison!));
      return { kind: 'delivered' };
    },
  };
  const module = await load(readFileSync(path));
  const tally = await openTally({ module, delivery, metrics: openMetrics(), log, now });
  return { tally, told };
}

const parcelsOf = (hits: string[]): Parcel[] =>
  hits.map((hit, offset) => ({ offset, key: null, bytes: Buffer.from(hit) }));

test('whatever the sink refuses, and however the bodies cross: each hit counts once, each alert is told once', async () => {
  const hits = await hitsOf(modulePath, alertRecords(60));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { maxLength: 200 }),
      fc.array(fc.tuple(fc.nat(59), fc.integer({ min: 1, max: 30 })), { minLength: 1, maxLength: 8 }),
      async (refusals, ranges) => {
        const { tally, told } = await open(modulePath, () => refusals.pop() ?? false);
        const send = async ([start, count]: [number, number]) => {
          const body = parcelsOf(hits.slice(start, start + count));
          while ((await tally.count(body, lease)).kind === 'held') await tally.tick(lease);
        };
        await Promise.all(ranges.map(send));
        const sent = new Set(ranges.flatMap(([start, count]) => range(Math.min(count, 60 - start), start)));
        assert.deepEqual(
          told.map(({ labels }) => Number(labels.id)).sort((a, b) => a - b),
          [...sent].sort((a, b) => a - b),
        );
        assert.deepEqual(
          told.map(({ annotations }) => Number(annotations.count)),
          range(sent.size, 1),
        );
      },
    ),
    { numRuns: 100 },
  );
});

test('a body whose lease ends is held, and goes on when it comes again', async () => {
  const { tally, told } = await open(modulePath, () => false);
  const body = parcelsOf(await hitsOf(modulePath, alertRecords(10)));
  const ends = { ...lease, live: () => told.length < 4 };
  assert.equal((await tally.count(body, ends)).kind, 'held');
  assert.ok(told.length < 10);
  assert.equal((await tally.count(body, lease)).kind, 'delivered');
  assert.deepEqual(
    told.map(({ labels }) => Number(labels.id)),
    range(10),
  );
});

test('a hit that breaks the counter is dropped, and a fresh counter goes on', async () => {
  const breaking = withMatcher(matcher => ({
    count(hit, ...rest) {
      if (Buffer.from(hit).includes('"id":"2"')) throw new WebAssembly.RuntimeError('unreachable');
      return matcher.count(hit, ...rest);
    },
  }));
  const buried: string[] = [];
  const { tally, told } = await open(modulePath, () => false, Date.now, breaking, buried);
  const body = parcelsOf(await hitsOf(modulePath, alertRecords(5)));
  for (let times = 0; times < 2; times++) assert.equal((await tally.count(body, lease)).kind, 'delivered');
  assert.deepEqual(buried, ['the counter broke: unreachable']);
  assert.deepEqual(
    told.map(({ labels, annotations }) => `${labels.id}: ${annotations.count}`),
    ['0: 1', '1: 2', '3: 1', '4: 2'],
  );
});

test('a silence is told by the clock, but not while a refused body is to come again', async () => {
  const path = await buildModule('absence');
  let timeMs = Date.now();
  const { tally, told } = await open(
    path,
    () => false,
    () => timeMs,
  );
  assert.equal(
    (await tally.count(parcelsOf(await hitsOf(path, [{ log: 'BEAT', host: 'a' }], timeMs)), lease)).kind,
    'delivered',
  );
  timeMs += 1000;
  tally.refused();
  timeMs += 59_000;
  await tally.tick(lease);
  assert.deepEqual(told, []);
  timeMs += 2000;
  await tally.tick(lease);
  assert.deepEqual(
    told.map(({ status }) => status),
    ['firing'],
  );
});

test('a start without its end is told by the clock, when the sink accepts it, with what the start said', async () => {
  const path = await buildModuleOf(
    `groups:
- name: g
  rules:
  - alert: hangs
    sequence: {steps: [{field: log, eq: start}, {unless: {field: log, eq: stop}}], within: 1m, by: [id]}
    samples: {text: '{{ $record.note }}'}
    labels: {id: '{{ $record.job }}'}
    annotations: {count: '{{ $samples }}'}
`,
    'hangs',
  );
  let timeMs = Date.now();
  let isDown = true;
  const { tally, told } = await open(
    path,
    () => isDown,
    () => timeMs,
  );
  const records = [
    { log: 'start', job: 'a', note: 'one' },
    { log: 'start', job: 'b', note: 'two' },
    { log: 'stop', job: 'a' },
  ];
  const body = parcelsOf(await hitsOf(path, records, timeMs));
  for (let times = 0; times < 2; times++) assert.equal((await tally.count(body, lease)).kind, 'delivered');
  timeMs += 59_000;
  await tally.tick(lease);
  timeMs += 2000;
  for (const down of [true, true, false, false]) {
    isDown = down;
    timeMs += 10;
    await tally.tick(lease);
  }
  assert.deepEqual(
    told.map(({ labels, annotations }) => [labels.id, annotations.count]),
    [['b', 'two']],
  );
});
