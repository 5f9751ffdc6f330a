// The promise, end to end: real processes in one group, three brokers, twelve partitions of logs and of hits, and a
// producer without a key. `npm run soak` is the long form: EARSHOT_TEST_SOAK=1. EARSHOT_TEST_SEED plays a run again.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaMissing, startCluster } from '../kafka.ts';
import type { TestCluster } from '../kafka.ts';
import type { Alert } from '../sink/notification-manager.ts';
import { moveCoordinator, openFleet, readTrail, rollBrokers } from './fleet.ts';
import type { Fleet } from './fleet.ts';
import { range, until } from './harness.ts';
import { groupBy, judge, rulesFile } from './oracle.ts';
import type { Delivery, Rule, Sent } from './oracle.ts';
import { bundleFunction, residentPeak } from './process.ts';

const IS_SOAK = process.env.EARSHOT_TEST_SOAK === '1';
const SEED = Number(process.env.EARSHOT_TEST_SEED ?? (IS_SOAK ? Date.now() % 1_000_000 : 1));
const PARTITIONS = 12;
const FUNCTIONS = 3;
const RESIDENT_MAX = 256; // MiB

const skip = kafkaMissing() ?? (process.env.KAFKA_BROKERS && 'needs three brokers of its own');

describe('a cluster', { skip }, () => {
  let cluster: TestCluster;
  let file: string;
  before(async () => {
    // A killed member holds up its group until its session ends.
    const sessions = { 'group.min.session.timeout.ms': '500' };
    [cluster, file] = await Promise.all([startCluster(sessions), bundleFunction()]);
    if (IS_SOAK) console.log(`# seed ${SEED}`);
  });
  after(() => cluster?.stop());

  const open = (rules: string, partitions = PARTITIONS) =>
    openFleet(cluster.brokers, file, rules, partitions);

  /** Declares a test with fleets of its own. */
  function fleetTest(
    name: string,
    run: (opened: (fleet: Promise<Fleet>) => Promise<Fleet>) => Promise<void>,
  ): void {
    test(name, { timeout: IS_SOAK ? 3_600_000 : 300_000 }, async () => {
      const fleets: Fleet[] = [];
      try {
        await run(async fleet => {
          fleets.push(await fleet);
          return fleet;
        });
        assert.deepEqual(
          fleets.flatMap(({ failed }) => failed),
          [],
          'no function ended by itself',
        );
      } finally {
        await Promise.all(fleets.map(fleet => fleet.close()));
      }
    });
  }

  /** Follows the ids: produced, hit, counted, told, accepted. Returns the sentence of it. */
  async function prove(fleet: Fleet, acknowledged: Sent[], rules: Rule[]): Promise<string> {
    const { produced, hits, hitsTwice, told, deadLetters } = await readTrail(fleet, cluster.brokers);
    const ids = new Set(produced.map(({ id }) => id));
    assert.ok(
      acknowledged.every(({ id }) => ids.has(id)),
      'what was acknowledged is in the topic',
    );
    const { deliveries } = fleet.receiver;
    const verdict = judge(produced, rules, deliveries, fleet.killed);
    const accepted = deliveries.map(({ text }) => (JSON.parse(text) as Alert).annotations.record!);
    assert.deepEqual([verdict.lost, verdict.wrong], [[], []]);
    assert.deepEqual(verdict.unexplained, [], 'twice only where a process was killed');
    assert.deepEqual([...told].sort(), [...new Set(accepted)].sort(), 'a mark for each alert');
    assert.equal(deadLetters, 0);
    const numbers = `${produced.length} records, ${hits} hits (${hitsTwice} of them produced twice)`;
    return `${numbers}, ${verdict.expected} alerts, ${verdict.twice} of them twice, 0 lost, 0 wrong`;
  }

  fleetTest(
    'ten partitions: 20 in 5 minutes are told at the 20th of 40, 199 and 400, and never of 19',
    async opened => {
      const rule = {
        alert: 'Many',
        kind: 'many',
        threshold: { count: 20, withinMs: 300_000 },
        realertMs: 300_000,
      };
      const fleet = await opened(open(rulesFile([rule]), 10));
      for (const _ of range(FUNCTIONS)) fleet.start();
      const start = Date.now() - 3_600_000;
      const counts = { 'of 19': 19, 'of 20': 20, 'of 40': 40, 'of 199': 199, 'of 400': 400 };
      const sent: Sent[] = [];
      // The second round is after the cool-down, and what was counted in the first is out of the window.
      for (const round of [0, 1]) {
        const records = Object.entries(counts).flatMap(([key, count]) =>
          range(count).map(index => ({
            id: `${round} ${key} ${index}`,
            kind: 'many',
            key,
            round,
            timeMs: start + round * 400_000 + Math.floor((index / count) * 60_000),
          })),
        );
        sent.push(...records);
        await fleet.produce(shuffled(records, seeded(SEED)));
        await fleet.settled(`round ${round}`);
      }
      console.log(`# ten partitions: ${await prove(fleet, sent, [rule])}`);
    },
  );

  fleetTest('whatever falls over: every alert at its count, no other, once a realert', async opened => {
    const random = seeded(SEED);
    const fleet = await opened(open(rulesFile(FAULT_RULES)));
    for (const _ of range(FUNCTIONS)) fleet.start();
    const sent: Sent[] = [];
    const faults = shuffled(IS_SOAK ? soakFaults() : [...FAULTS.keys()], random);
    let lastMs = 0;
    for (let round = 0; round === 0 || faults.length > 0; round++) {
      lastMs = nextStart(lastMs);
      const records = shuffled(loadOf(round, lastMs, random), random);
      const third = Math.ceil(records.length / 3);
      // The first round is without faults. In the soak two come at a time.
      const names = round === 0 ? [] : faults.splice(0, IS_SOAK ? 2 : 1);
      await fleet.produce(records.slice(0, third));
      const fault = (async () => {
        for (const name of names) {
          await sleep(random() * 600);
          await FAULTS.get(name)!(fleet, cluster, random);
        }
      })();
      await fleet.produce(records.slice(third, 2 * third));
      await sleep(random() * 600);
      await fleet.produce(records.slice(2 * third));
      await fault;
      sent.push(...records);
      await fleet.settled(`round ${round}: ${names.join(', ')}`);
    }
    console.log(
      `# faults (${countsOf(IS_SOAK ? soakFaults() : [...FAULTS.keys()])}): ${await prove(fleet, sent, FAULT_RULES)}`,
    );
  });
});

// ── Faults ──────────────────────────────────────────────────────────────────────────────────────────

// Rounds begin at even seconds, and their records are of 0.3 s; so no window and no cool-down of an odd number of
// seconds ends within a round, and the order of a round's records decides nothing.
const GRID_MS = 2000;
const ROUND_SPAN_MS = 300;
const ROUND_MIN_MS = 4000;
const FAULT_RULES: Rule[] = [
  { alert: 'Many', kind: 'many', threshold: { count: 5, withinMs: 11_000 }, realertMs: 15_000 },
  { alert: 'Every', kind: 'every', threshold: { count: 10, withinMs: 11_000 }, realertMs: 0 },
  { alert: 'Each', kind: 'each', realertMs: 15_000 },
];

function nextStart(lastMs: number): number {
  return Math.ceil(Math.max(Date.now(), lastMs + ROUND_MIN_MS) / GRID_MS) * GRID_MS;
}

function loadOf(round: number, startMs: number, random: () => number): Sent[] {
  const records: Sent[] = [];
  const add = (kind: string, key: string, count: number) => {
    for (const index of range(count)) {
      const timeMs = startMs + Math.floor(random() * ROUND_SPAN_MS);
      records.push({ id: `${kind} ${key} ${round}/${index}`, kind, key, round, timeMs });
    }
  };
  // New tenants at N − 1, N and above; some that go on; some that come and go. The counter keeps twice the records that a
  // threshold asks for: so many lie in the eighths of a window that it looks at, which is up to four rounds.
  for (const index of range(60)) add('many', `round ${round} ${index}`, 4 + (index % 3));
  for (const index of range(40)) add('many', `steady ${index}`, 2);
  for (const index of range(40)) add('many', `now and then ${index}`, Math.floor(random() * 3));
  for (const index of range(60)) add('every', `every ${index}`, 3 + Math.floor(random() * 3));
  for (const index of range(60)) add('each', `each ${index}`, Math.floor(random() * 3));
  add('quiet', 'nobody', 100);
  return records;
}

type Fault = (fleet: Fleet, cluster: TestCluster, random: () => number) => Promise<void>;

const FAULTS = new Map<string, Fault>([
  ['kill -9', (fleet, _, random) => replace(fleet, 'SIGKILL', random)],
  ['SIGTERM', (fleet, _, random) => replace(fleet, 'SIGTERM', random)],
  [
    'scale-out and in',
    async (fleet, _, random) => {
      const more = [fleet.start(), fleet.start()];
      await sleep(1500 + random() * 1500);
      await Promise.all(more.map(member => fleet.end(member, 'SIGTERM')));
    },
  ],
  [
    'scale-in and out',
    async (fleet, _, random) => {
      const fewer = shuffled(fleet.members, random).slice(1);
      await Promise.all(fewer.map(member => fleet.end(member, 'SIGTERM')));
      await sleep(random() * 1500);
      for (const _ of fewer) fleet.start();
    },
  ],
  ['rolling restart of the brokers', (fleet, cluster) => rollBrokers(cluster, fleet)],
  ['another coordinator', (fleet, cluster) => moveCoordinator(cluster, fleet)],
  [
    'a sink that answers 503',
    async ({ receiver }, _, random) => {
      receiver.isBusy = true;
      await sleep(2000 + random() * 2000);
      receiver.isBusy = false;
    },
  ],
  [
    'a sink that refuses connections',
    async ({ receiver }, _, random) => {
      await receiver.close();
      await sleep(2000 + random() * 2000);
      await receiver.reopen();
    },
  ],
]);

async function replace(fleet: Fleet, signal: 'SIGTERM' | 'SIGKILL', random: () => number): Promise<void> {
  await fleet.end(fleet.members[Math.floor(random() * fleet.members.length)]!, signal);
  fleet.start();
}

function soakFaults(): string[] {
  const counts: Record<string, number> = { 'kill -9': 25, SIGTERM: 25, 'another coordinator': 3 };
  return [...FAULTS.keys()].flatMap(name => range(counts[name] ?? 2).map(() => name));
}

function countsOf(names: string[]): string {
  return [...groupBy(names, name => name)].map(([name, { length }]) => `${length} × ${name}`).join(', ');
}

// ── Chance ──────────────────────────────────────────────────────────────────────────────────────────

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(all: readonly T[], random: () => number): T[] {
  return all
    .map(one => ({ one, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one);
}
